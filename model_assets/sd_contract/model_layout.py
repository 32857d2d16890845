"""Where an imported model's files lie: the one layout that every container's libraries load.

diffusers 0.16.0 takes no shards, transformers before 5 no tokenizer.json alone, and without a
`variant` no library looks for `*.fp16.safetensors`. So the import stores one plain file a network,
its tensors by the names that old versions know and later ones translate (model_weights.py), and the
tokenizer as vocab.json and merges.txt.
"""

INDEX = "model_index.json"
SCHEDULER_CONFIG = "scheduler/scheduler_config.json"
TOKENIZER_CONFIG = "tokenizer/tokenizer_config.json"
VOCAB = "tokenizer/vocab.json"
MERGES = "tokenizer/merges.txt"
ADDED_TOKENS = "tokenizer/added_tokens.json"
# By component.
CONFIGS = {name: f"{name}/config.json" for name in ("text_encoder", "unet", "vae")}
WEIGHTS = {
    "text_encoder": "text_encoder/model.safetensors",
    "unet": "unet/diffusion_pytorch_model.safetensors",
    "vae": "vae/diffusion_pytorch_model.safetensors",
}
# AutoencoderKL's own, where an old config.json (Stable Diffusion 2's) doesn't say.
SCALING_FACTOR = 0.18215
# Likewise; no Stable Diffusion 2 that draws from text alone has another number.
LATENT_CHANNELS = 4
