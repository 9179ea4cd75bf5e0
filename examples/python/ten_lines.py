"""Learning inside an app, in ten lines."""

import numpy as np
from sklearn.datasets import load_digits

from sparcl_compile import CompileOptions, Learner, compile_model

images, digits = (load_digits().images * 15.9).astype("uint8"), load_digits().target
names = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])[digits]
compile_model("models/digits_cnn.onnx", CompileOptions(sparsity=0.8), "app.sparcl")
with Learner.open("app.sparcl", state="app.state") as learner:  # takes up where it was, or starts
    for task in ((0, 1), (2, 3)):  # a call is a task; a new name takes a free place of the head
        learner.learn(images[np.isin(digits, task)], names[np.isin(digits, task)], epochs=2, seconds=60)
    learner.observe(images[4], names[4], steps=4)  # safe on disk; learned when there are more of them
    print(learner.predict(images[:4]).names, learner.evaluate(images[:4], names[:4]).accuracy)
    learner.export("app.onnx")
