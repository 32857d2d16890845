"""What a picture's steps may be saved, and at what loss: sampling settings drawn by the containers'
own code, their arithmetic counted, their pictures held against what was asked and against the
picture of many steps."""
