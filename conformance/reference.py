"""Runs models with LiteRT in a child process, which may abort on a model it does not like without taking us along."""

import multiprocessing

import numpy as np

TIMEOUT_SECONDS = 120


class Refused(Exception):
    """LiteRT rejected the model, failed while running it, or crashed; the text says which."""


def _describe(detail):
    scale, zero = detail["quantization"]
    return {
        "name": detail["name"],
        "dtype": np.dtype(detail["dtype"]).name,
        "shape": [int(d) for d in detail["shape"]],
        "quantization": (float(scale), int(zero)),
    }


def _run(content, runs, resolver, threads, preserve):
    """Feeds each of `runs` (a list of input arrays) to one interpreter; see `Reference.run` for what comes back."""
    from ai_edge_litert import interpreter as litert

    options = {
        "model_content": content,
        "num_threads": threads,
        "experimental_op_resolver_type": getattr(litert.OpResolverType, resolver),
        "experimental_preserve_all_tensors": preserve,
    }
    if b"odml." in content:  # operators that LiteRT ships beside its resolver
        from ai_edge_litert import pywrap_genai_ops

        made = litert.InterpreterWithCustomOps(custom_op_registerers=[pywrap_genai_ops.GenAIOpsRegisterer], **options)
    else:
        made = litert.Interpreter(**options)
    inputs = made.get_input_details()
    for detail, array in zip(inputs, runs[0]):
        if list(detail["shape"]) != list(array.shape):
            made.resize_tensor_input(detail["index"], array.shape)
    made.allocate_tensors()
    results = []
    for arrays in runs:
        for detail, array in zip(inputs, arrays):
            made.set_tensor(detail["index"], array)
        made.invoke()
        results.append([made.get_tensor(detail["index"]) for detail in made.get_output_details()])
    details = made.get_tensor_details()
    tensors = {}
    if preserve:
        for detail in details:
            try:
                tensors[detail["index"]] = made.get_tensor(detail["index"])
            except ValueError:  # no data: an absent or purely temporary tensor
                pass
    return {
        "outputs": results,
        "shapes": {d["index"]: tuple(int(n) for n in d["shape"]) for d in details},
        "details": [_describe(d) for d in made.get_output_details()],
        "tensors": tensors,
    }


def _run_signature(content, key, inputs, threads):
    """Runs one signature; inputs and outputs are keyed by name."""
    from ai_edge_litert import interpreter as litert

    made = litert.Interpreter(model_content=content, num_threads=threads)
    return made.get_signature_runner(key)(**inputs)


def _signatures(content):
    """Signature key -> input name -> its dtype and shape."""
    from ai_edge_litert import interpreter as litert

    made = litert.Interpreter(model_content=content)
    found = {}
    for key in made.get_signature_list():
        details = made.get_signature_runner(key).get_input_details()
        found[key] = {name: _describe(detail) for name, detail in details.items()}
    return found


def _inputs(content):
    """The dtype and shape of each input of the primary subgraph."""
    from ai_edge_litert import interpreter as litert

    return [_describe(detail) for detail in litert.Interpreter(model_content=content).get_input_details()]


def _serve(pipe):
    while True:
        request = pipe.recv()
        if request is None:
            return
        function, arguments = request
        try:
            pipe.send((True, function(*arguments)))
        except Exception as error:  # everything the interpreter raises is an answer here
            pipe.send((False, str(error).strip().split("\n")[0]))


class Reference:
    """A LiteRT worker that is started on first use and restarted after a crash."""

    def __init__(self):
        self._context = multiprocessing.get_context("spawn")
        self._process = None

    def _start(self):
        self._pipe, theirs = self._context.Pipe()
        self._process = self._context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def run(self, content, runs, resolver="AUTO", threads=1, preserve=False):
        """Runs a model once per entry of `runs`, in order, in one interpreter.

        Returns a dict: "outputs" (per run, a list of arrays), "shapes" (tensor index -> shape after the last run),
        "details" (each output's name, dtype, shape and quantization), "tensors" (index -> array, where `preserve`).
        Raises Refused.
        """
        return self._ask(_run, content, runs, resolver, threads, preserve)

    def run_signature(self, content, key, inputs, threads=1):
        """Runs one signature of a fresh interpreter; returns output name -> array. Raises Refused."""
        return self._ask(_run_signature, content, key, inputs, threads)

    def signatures(self, content):
        """Signature key -> input name -> {"name", "dtype", "shape", ...}. Raises Refused."""
        return self._ask(_signatures, content)

    def inputs(self, content):
        """The primary subgraph's inputs, as for `signatures`. Raises Refused."""
        return self._ask(_inputs, content)

    def _ask(self, function, *arguments):
        if self._process is None or not self._process.is_alive():
            self._start()
        self._pipe.send((function, arguments))
        try:
            if not self._pipe.poll(TIMEOUT_SECONDS):
                self._process.kill()
                self._process.join()
                raise Refused(f"no answer within {TIMEOUT_SECONDS} s")
            ok, answer = self._pipe.recv()
        except EOFError:
            self._process.join()
            raise Refused(f"the process died with status {self._process.exitcode}") from None
        if not ok:
            raise Refused(answer)
        return answer

    def close(self):
        if self._process is not None and self._process.is_alive():
            self._pipe.send(None)
            self._process.join(5)
