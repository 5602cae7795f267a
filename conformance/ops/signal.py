"""Complex numbers and Fourier transforms."""

import numpy as np

from cases import EXACT, FLOAT, add, label


def parts(op, dtype, shape):
    def build(case):
        out = "FLOAT32" if dtype == "COMPLEX64" else "FLOAT64"
        case.graph.op(op, [case.graph.input(dtype, shape)], [case.graph.output(out)])

    add(op, label(dtype, shape), build)


for op in ("REAL", "IMAG", "COMPLEX_ABS"):
    for dtype in ("COMPLEX64", "COMPLEX128"):
        for shape in [(5,), (2, 3, 4), (), (0, 3), (1, 1, 2, 1, 3)]:
            parts(op, dtype, shape)


def rfft2d(shape, lengths, constant=True):
    def build(case):
        graph = case.graph
        operands = [graph.input("FLOAT32", shape)]
        operands.append(graph.const("INT32", lengths) if constant else graph.input("INT32", (2,)))
        dims = (*shape[:-2], lengths[0], lengths[1] // 2 + 1)
        out = graph.output("COMPLEX64", shape=dims if constant else (1,) * len(dims), dynamic=not constant)
        graph.op("RFFT2D", operands, [out])
        case.feed(case.values("FLOAT32", shape), *([] if constant else [np.array(lengths, np.int32)]))
        case.tolerance = FLOAT

    add("RFFT2D", label(shape, lengths, "" if constant else "dynamic"), build)


for shape, lengths in [((4, 4), (4, 4)), ((1, 16), (1, 16)), ((2, 3, 8, 4), (8, 4)), ((5, 7), (8, 8)), ((9, 9), (4, 8)), ((3, 2), (2, 2)),
                       ((2, 1, 64), (1, 128)), ((16, 2), (32, 2)), ((3, 5), (16, 4))]:
    rfft2d(shape, lengths)
rfft2d((6, 6), (8, 4), constant=False)


def irfft2d(shape, lengths):
    """The spectrum of a real image, cut or padded where the lengths are others."""

    def build(case):
        graph = case.graph
        out = graph.output("FLOAT32", shape=(*shape[:-2], *lengths))
        graph.op("IRFFT2D", [graph.input("COMPLEX64", (*shape[:-2], shape[-2], shape[-1] // 2 + 1)), graph.const("INT32", lengths)], [out])
        spectrum = np.fft.rfft2(case.values("FLOAT32", shape)).astype(np.complex64)
        case.feed(spectrum)
        bins = lengths[1] // 2 + 1
        fitted = np.zeros((*shape[:-2], lengths[0], bins), np.complex128)
        rows, columns = min(lengths[0], spectrum.shape[-2]), min(bins, spectrum.shape[-1])
        fitted[..., :rows, :columns] = spectrum[..., :rows, :columns]
        case.expect("numpy", np.fft.irfft2(fitted, lengths).astype(np.float32))
        case.tolerance = FLOAT

    add("IRFFT2D", label(shape, lengths), build)


for shape, lengths in [((4, 4), (4, 4)), ((1, 16), (1, 16)), ((2, 3, 8, 4), (8, 4)), ((16, 2), (16, 2)), ((2, 1, 64), (1, 64)), ((8, 8), (8, 16)),
                       ((8, 16), (4, 8)), ((2, 2), (2, 2)), ((3, 32, 8), (32, 8))]:
    irfft2d(shape, lengths)


def spectrogram(samples, channels, window, stride, squared):
    def build(case):
        x = case.graph.input("FLOAT32", (samples, channels))
        case.graph.op("AudioSpectrogram", [x], [case.graph.output("FLOAT32")], window_size=window, stride=stride, magnitude_squared=squared)
        case.tolerance = FLOAT

    add("AudioSpectrogram", label(f"{samples}x{channels}", f"window{window}", f"stride{stride}", "squared" if squared else ""), build)


for squared in (False, True):
    spectrogram(100, 1, 32, 16, squared)
    spectrogram(80, 2, 30, 10, squared)
    spectrogram(64, 1, 64, 5, squared)
    spectrogram(50, 3, 2, 7, squared)
    spectrogram(33, 1, 17, 4, squared)


def mfcc(channels, frames, bins, rate=16000, low=20, high=4000, filters=40, coefficients=13):
    def build(case):
        graph = case.graph
        x = graph.input("FLOAT32", (channels, frames, bins))
        graph.op("Mfcc", [x, graph.const("INT32", [rate])], [graph.output("FLOAT32")], upper_frequency_limit=high, lower_frequency_limit=low,
                 filterbank_channel_count=filters, dct_coefficient_count=coefficients)
        case.feed(case.values("FLOAT32", (channels, frames, bins), None, 0.0, 4.0))
        case.tolerance = FLOAT

    add("Mfcc", label(f"{channels}x{frames}x{bins}", f"rate{rate}", f"{low}to{high}", f"f{filters}_c{coefficients}"), build)


mfcc(1, 3, 257)
mfcc(2, 2, 129)
mfcc(1, 2, 65, filters=10, coefficients=10)
mfcc(1, 2, 65, filters=60, coefficients=20)
mfcc(1, 2, 257, rate=44100, low=80, high=7600, filters=26)
mfcc(1, 4, 33, rate=8000, low=0, high=3999, filters=12, coefficients=4)
mfcc(1, 1, 513, rate=48000, low=20, high=20000, filters=80, coefficients=40)
mfcc(3, 1, 17, rate=2000, low=100, high=900, filters=6, coefficients=1)

SPEECH = {
    "sample_rate": 16000, "window_size": 25, "window_step": 10, "num_channels": 32, "upper_band_limit": 7500.0, "lower_band_limit": 125.0,
    "smoothing_bits": 10, "even_smoothing": 0.025, "odd_smoothing": 0.06, "min_signal_remaining": 0.05, "enable_pcan": False,
    "pcan_strength": 0.95, "pcan_offset": 80.0, "gain_bits": 21, "enable_log": True, "scale_shift": 6, "left_context": 0, "right_context": 0,
    "frame_stride": 1, "zero_padding": False, "out_scale": 1,
}  # fmt: skip


def microfrontend(name, samples, floats=False, loud=8000, **changes):
    """Tones and noise; TensorFlow answers with the operator it ships beside its library."""

    def build(case):
        import tensorflow
        from tensorflow.lite.experimental.microfrontend.python.ops import audio_microfrontend_op

        options = SPEECH | changes
        time = np.arange(samples) / options["sample_rate"]
        tone = np.sin(2 * np.pi * 440 * time) + 0.5 * np.sin(2 * np.pi * 2500 * time * time)
        audio = np.clip(tone * loud + case.rng.normal(0, loud / 8 + 1, samples), -32768, 32767).astype(np.int16)
        kind = tensorflow.float32 if floats else tensorflow.uint16
        answer = audio_microfrontend_op.audio_microfrontend(tensorflow.constant(audio), **options, out_type=kind).numpy()
        answer = answer if floats else answer.astype(np.int32)
        x = case.graph.input("INT16", (samples,))
        out = case.graph.output("FLOAT32" if floats else "INT32", shape=answer.shape)
        case.graph.op("AudioMicrofrontend", [x], [out], **options, out_float=floats)
        case.feed(audio)
        case.expect("tensorflow", answer)
        case.tolerance = FLOAT if floats else EXACT

    add("AudioMicrofrontend", name, build)


microfrontend("plain", 1200)
microfrontend("floats", 1000, floats=True, out_scale=64)
microfrontend("gain", 1600, enable_pcan=True)
microfrontend("no_log", 1000, enable_log=False, out_scale=3)
microfrontend("context", 1500, left_context=2, right_context=1, frame_stride=2)
microfrontend("padded", 1500, left_context=1, right_context=3, frame_stride=3, zero_padding=True)
microfrontend("other_rate", 900, sample_rate=8000, window_size=30, window_step=20, num_channels=12, upper_band_limit=3800.0, lower_band_limit=80.0)
microfrontend("quiet", 1200, loud=3, enable_pcan=True)
microfrontend("loud", 1200, loud=60000, enable_pcan=True, gain_bits=19, smoothing_bits=8)
microfrontend("short", 300)
microfrontend("long_window", 3000, window_size=60, window_step=30, num_channels=40, enable_pcan=True, scale_shift=4)
