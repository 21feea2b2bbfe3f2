"""What is installed, and with what.  The tools' settings are in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

EXTRAS = {  # everything but numpy and scipy; each is imported where it is used
    "gpu": ["cupy-cuda12x[ctk]>=14"],
    "gpu13": ["cupy-cuda13x[ctk]>=14"],
    "test": [
        "pytest>=8",
        "pytest-xdist",
        "hypothesis",
        "mpmath",
        "array-api-strict>=2.3",
        "python-flint",
        "threadpoolctl",
        "num2words",
        "safetensors",
    ],
    "peers": ["torch", "jax", "autograd", "ml_dtypes", "transformers", "sacrebleu", "threadpoolctl"],
    "viz": ["matplotlib"],
    "progress": ["tqdm"],
    "mpi": ["mpi4py", "mpich"],
    "cluster": ["joblib"],
    "fast": ["numba"],
    "interop": ["safetensors"],
    "fonts": ["Hershey-Fonts"],
    "rl": ["gymnasium"],
    "kernels": ["nvidia-cuda-nvrtc"],
    "docs": ["sphinx", "myst-parser", "latex2mathml", "jupytext", "nbclient"],
    "dev": ["ruff", "mypy", "coverage"],
}

setup(
    name="scratchattn",
    version="0.1.0",
    description="Attention and memory written out: forward, backward, and the proof that they match",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The scratchattn authors",
    license="BSD-3-Clause",
    keywords="attention memory neural-turing-machine gradients backpropagation reference numpy",
    license_files=["LICENSE"],
    packages=find_packages(include=["scratchattn", "scratchattn.*", "gradcheck", "gradcheck.*"]),
    package_data={"scratchattn": ["py.typed", "training/*.toml"], "gradcheck": ["py.typed", "*.toml"]},
    python_requires=">=3.11",
    install_requires=["numpy>=2.1", "scipy>=1.14"],
    extras_require=EXTRAS,
    entry_points={
        "console_scripts": ["scratchattn=scratchattn.cli:main", "gradcheck=scratchattn.cli:gradcheck_main"]
    },
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
)
