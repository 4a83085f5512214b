"""Train on all GPUs of this machine, from a folder that ``tardif prepare`` has made.

python examples/train_on_several_gpus.py DATA
torchrun --standalone --nproc_per_node 4 examples/train_on_several_gpus.py DATA
accelerate launch --multi_gpu --num_processes 4 examples/train_on_several_gpus.py DATA

The first starts a process for each GPU; the others have started them already, and they train together.
"""

import sys

import tardif

trainer = tardif.Trainer("several-gpus", devices="auto", out="models")
trainer.prepare(sys.argv[1])
# The batch is that of all processes together: 4 GPUs have 32 examples each.
result = trainer.train(batch_size=128, resume=True)
if result.before:
    print(f"nDCG@10: {result.before['nDCG@10']:.4f} -> {result.after['nDCG@10']:.4f}, in {result.path}")
