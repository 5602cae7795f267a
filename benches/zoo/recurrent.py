"""An LSTM layer that the converter recognizes and turns into one UNIDIRECTIONAL_SEQUENCE_LSTM operator."""

import uuid

import tensorflow as tf


def _lstm(inputs, hidden, cell, kernel, recurrent, bias):
    """The plain recurrence: gates in the order input, forget, cell, output; inputs are [batch, time, features]."""

    def step(state, x):
        h, c = state
        i, f, g, o = tf.split(x @ kernel + h @ recurrent + bias, 4, axis=-1)
        c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
        return tf.sigmoid(o) * tf.tanh(c), c

    h, c = tf.scan(step, tf.transpose(inputs, (1, 0, 2)), initializer=(hidden, cell))
    outputs = tf.transpose(h, (1, 0, 2))
    return outputs[:, -1], outputs, outputs[:, -1], c[-1], tf.constant(0.0)


def fused_lstm(inputs, kernel, recurrent, bias):
    """Runs an LSTM layer with zero initial state; returns the whole output sequence.

    The function carries the attributes by which the converter finds an LSTM; it replaces the body by the fused operator.
    """
    marked = tf.function(
        _lstm,
        experimental_attributes={
            "api_implements": f"lstm_{uuid.UUID(int=inputs.shape[-1])}",
            "api_preferred_device": "CPU",
            "go_backwards": False,
            "time_major": False,
        },
        autograph=False,
    )
    zeros = tf.zeros((inputs.shape[0], recurrent.shape[0]))
    return marked(inputs, zeros, zeros, kernel, recurrent, bias)[1]
