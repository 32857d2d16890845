"""SageMaker: its control plane (models, endpoint configurations, endpoints with updates that bake
and roll back, training jobs), its runtime, its CloudFormation types, and the containers' processes.
"""
