"""Train on all GPUs of this machine, on a folder written by ``tardif prepare``.

python examples/train_on_several_gpus.py DATA
torchrun --standalone --nproc_per_node 4 examples/train_on_several_gpus.py DATA
accelerate launch --multi_gpu --num_processes 4 examples/train_on_several_gpus.py DATA

The first command starts one process per GPU. Under the launchers, the processes exist already and train together.
"""

import sys

import tardif

trainer = tardif.Trainer("several-gpus", devices="auto", out="models")
trainer.prepare(sys.argv[1])
# The batch counts the examples of all processes: with 4 GPUs, 32 each.
result = trainer.train(batch_size=128, resume=True)
if result.before:
    print(f"nDCG@10: {result.before['nDCG@10']:.4f} -> {result.after['nDCG@10']:.4f}, in {result.path}")
