"""The kinds of training job: how fast each runs on p parameter servers and w workers, and what a task occupies.

Synchronous training scales strongly: the batch of M samples is shared among the workers, so more workers compute
faster but exchange more. The curve is that of Optimus (Peng et al., "Optimus: an efficient dynamic resource scheduler
for deep learning clusters", EuroSys 2018) with one further term, t5/p:

    samples/s = M / (t0*M/w + t1 + t2*w/p + t3*w + t4*p + t5/p)

Asynchronous training scales weakly: every worker takes its own batch, and the servers saturate:

    samples/s = M*w / ((a + k*max(1, w/p)) * (1 + 0.02*w + 0.02*p))

The synchronous coefficients are our least-squares fit to the MXNet measurements published with DL2 (Peng et al., "DL2:
a deep learning-driven scheduler for deep learning clusters", IEEE TPDS 2021), by ``benchmarks/fit_speed_model.py``;
``docs/speed_model.md`` shows their errors. The asynchronous a and k are the compute time and twice the model size over
the bandwidth that DL2 lists for the same models.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class JobKind:
    """One model that jobs train."""

    name: str
    """Name of the model, lower case."""
    batch_size: int
    """Samples in a batch, M: of all workers together when synchronous, of each worker when asynchronous."""
    sync: tuple[float, float, float, float, float, float]
    """Coefficients t0..t5 of the synchronous curve, all >= 0: t0 in seconds a sample, the rest in seconds."""
    async_: tuple[float, float]
    """Coefficients a (compute) and k (exchange) of the asynchronous curve, in seconds."""
    worker_cpu: int
    """CPU cores that one worker occupies."""
    worker_gpu: int
    """GPUs that one worker occupies."""
    server_cpu: int
    """CPU cores that one parameter server occupies."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """What its tasks occupy: CPU and GPU of a worker, CPU of a server."""
        return self.worker_cpu, self.worker_gpu, self.server_cpu


KINDS: tuple[JobKind, ...] = (
    JobKind("resnet-50", 32, (0.004392, 0.3, 0.2852, 0.02444, 0.0, 1.035), (0.449, 2.225), 2, 1, 2),
    JobKind("vgg-16", 32, (0.01849, 0.3433, 0.8835, 0.1343, 0.006141, 1.499), (0.535, 4.75), 2, 1, 2),
    JobKind("resnext-110", 128, (0.0005178, 0.1578, 0.1098, 0.02008, 0.001243, 0.0), (0.226, 0.2326), 2, 1, 2),
    JobKind("inception-bn", 128, (0.003085, 0.1485, 0.164, 0.01961, 0.003221, 0.03448), (0.815, 0.5772), 2, 1, 2),
    JobKind("seq2seq", 64, (0.00102, 0.04786, 0.01978, 0.01328, 2.701e-05, 0.09702), (0.075, 0.6077), 2, 1, 2),
    JobKind("cnn-text", 50, (0.007539, 0.3054, 0.01562, 0.01919, 0.00131, 0.1187), (0.585, 0.7901), 2, 0, 2),
    JobKind("dssm", 256, (0.001575, 0.1171, 0.0, 0.007447, 0.0001956, 0.0), (0.567, 0.1303), 2, 0, 2),
    JobKind("wlm", 160, (0.0008778, 0.09661, 0.1368, 0.03875, 0.004499, 0.5299), (0.154, 3.701), 2, 1, 2),
)
"""Every kind; a job refers to its kind by the index in this tuple."""
