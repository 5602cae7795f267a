"""Export the digit classifier in a form that trains on the device.

Writes two files into examples/digits (or the folder given with --out):

  trainable.tflite   signatures train, infer, get_weights, set_weights, save and restore; its weights are random
  training.npz       1437 digits to train with, as the signature `train` takes them: x pixels divided by 16 as float32
                     [n, 8, 8, 1], y int32 [n]; the digits of crates/cli/assets/held_back.bin are not among them

Needs TensorFlow 2.21 and scikit-learn (requirements.txt).
"""

import argparse
import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

BATCH = 32


def build_network():
    import keras
    from keras import layers

    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10),
        ]
    )


def make_module():
    import keras
    import tensorflow as tf

    image = tf.TensorSpec([BATCH, 8, 8, 1], tf.float32)

    class Digits(tf.Module):
        def __init__(self):
            self.model = build_network()
            self.loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            self.optimizer = keras.optimizers.Adam(0.003)
            self.optimizer.build(self.model.trainable_variables)
            # Keras 3 hides its variables from tf.Module; without this line they would be exported as constants.
            self.vs = [v.value for v in self.model.variables + self.optimizer.variables]
            self.weights = [v.value for v in self.model.variables]

        @tf.function(input_signature=[image, tf.TensorSpec([BATCH], tf.int32)])
        def train(self, x, y):
            with tf.GradientTape() as tape:
                loss = self.loss(y, self.model(x, training=True))
            gradients = tape.gradient(loss, self.model.trainable_variables)
            self.optimizer.apply_gradients(zip(gradients, self.model.trainable_variables))
            return {"loss": loss}

        @tf.function(input_signature=[tf.TensorSpec([1, 8, 8, 1], tf.float32)])
        def infer(self, x):
            logits = self.model(x, training=False)
            return {"output": tf.nn.softmax(logits), "logits": logits}

        @tf.function(input_signature=[])
        def get_weights(self):
            return {f"w{i}": tf.identity(w) for i, w in enumerate(self.weights)}

        def set_weights_function(self):
            specs = [tf.TensorSpec(w.shape, w.dtype, name=f"w{i}") for i, w in enumerate(self.weights)]

            @tf.function(input_signature=specs)
            def set_weights(*values):
                for weight, value in zip(self.weights, values):
                    weight.assign(value)
                return {"count": tf.constant(len(specs))}

            return set_weights

        def names(self):
            return [f"w{i}" for i in range(len(self.vs))]

        @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
        def save(self, checkpoint_path):
            # Not SaveV2: the converter of TensorFlow 2.21 drops it, as nothing depends on it. This one writes the first
            # checkpoint format, which RestoreV2 reads too.
            tf.raw_ops.Save(filename=checkpoint_path, tensor_names=self.names(), data=[tf.identity(v) for v in self.vs])
            return {"status": checkpoint_path}

        @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
        def restore(self, checkpoint_path):
            values = tf.raw_ops.RestoreV2(
                prefix=checkpoint_path,
                tensor_names=self.names(),
                shape_and_slices=[""] * len(self.vs),
                dtypes=[v.dtype for v in self.vs],
            )
            for variable, value in zip(self.vs, values):
                variable.assign(tf.reshape(value, variable.shape))
            return {"status": checkpoint_path}

    return Digits()


def export(path):
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(20)
    module = make_module()
    functions = {
        "train": module.train,
        "infer": module.infer,
        "get_weights": module.get_weights,
        "set_weights": module.set_weights_function(),
        "save": module.save,
        "restore": module.restore,
    }
    with tempfile.TemporaryDirectory() as folder:
        signatures = {key: f.get_concrete_function() for key, f in functions.items()}
        tf.saved_model.save(module, folder, signatures=signatures)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=list(functions))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
        converter.experimental_enable_resource_variables = True
        path.write_bytes(converter.convert())
    return module


def main():
    here = pathlib.Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=here)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    import numpy as np
    from train import load_digits, to_input

    pixels, _, labels, _ = load_digits()
    np.savez_compressed(out / "training.npz", x=to_input(pixels), y=labels.astype("int32"))
    export(out / "trainable.tflite")
    for name in ("training.npz", "trainable.tflite"):
        print(f"{name}: {(out / name).stat().st_size} bytes")


if __name__ == "__main__":
    main()
