"""Between a variant's endpoint and its registration: is it what the deploy asked for, and of what
was it built?"""
