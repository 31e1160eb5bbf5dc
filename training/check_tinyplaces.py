"""Measure what the tinyplaces generator promises and print it as JSON.

    python training/check_tinyplaces.py --images 3000

Reports speed on one core, how much a single concept or a colour histogram gives away about the class, and how often
every concept occurs. Exits with status 1 when a bound is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import zlib
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "backend"))

from microtome.probes.tinyplaces import CATEGORIES, CLASSES, CONCEPTS, VERSION, render

BOUNDS = {"images_per_minute": 5000, "max_class_given_concept": 0.5, "histogram_accuracy": 0.60, "min_frequency": 0.01}


def histograms(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Joint 4 x 4 x 4 (64 bins) and marginal 3 x 16 (48 bins) colour histograms of uint8[96, 96, 3]."""
    q = (image >> 6).reshape(-1, 3).astype(np.int64)
    joint = np.bincount(q[:, 0] * 16 + q[:, 1] * 4 + q[:, 2], minlength=64)
    marginal = np.concatenate([np.bincount((image[..., c] >> 4).ravel(), minlength=16) for c in range(3)])
    return joint / 9216, marginal / 9216


def linear_accuracy(train: np.ndarray, y_train: np.ndarray, test: np.ndarray, y_test: np.ndarray) -> float:
    """Test accuracy of a standardised multinomial logistic regression, best of a few strengths."""
    from sklearn.linear_model import LogisticRegression

    mean, std = train.mean(0), train.std(0) + 1e-6
    a, b = (train - mean) / std, (test - mean) / std
    return max(LogisticRegression(C=c, max_iter=400).fit(a, y_train).score(b, y_test) for c in (0.03, 0.3))


def measure(images: int, split: str = "val") -> dict:
    """Statistics over ``images`` pictures of a split; histograms train on the first three quarters."""
    present = np.zeros((images, len(CONCEPTS) + 1), bool)
    joint, marginal = np.zeros((images, 64)), np.zeros((images, 48))
    labels = np.zeros(images, int)
    digest, seconds = 0, 0.0
    sound = True
    category_of = np.array([-1] + [CATEGORIES.index(c.category) for c in CONCEPTS])
    render(split, 0)
    for i in range(images):
        start = time.process_time()
        scene = render(split, i)
        seconds += time.process_time() - start
        digest = zlib.crc32(scene.image.tobytes() + scene.labels.tobytes(), digest)
        labels[i] = scene.label
        for k in range(len(CATEGORIES)):
            values = np.flatnonzero(np.bincount(scene.labels[k].ravel(), minlength=len(CONCEPTS) + 1))
            present[i, values] = True
            sound &= bool(np.all(category_of[values[values > 0]] == k))
        joint[i], marginal[i] = histograms(scene.image)
    counts = present[:, 1:].sum(0)
    worst = []
    for v, concept in enumerate(CONCEPTS):
        if concept.category != "scene" and counts[v]:
            share = np.bincount(labels[present[:, v + 1]], minlength=len(CLASSES)) / counts[v]
            worst.append((round(float(share.max()), 3), concept.name, concept.category, CLASSES[int(share.argmax())]))
    worst.sort(reverse=True)
    frequency = sorted((round(float(counts[v] / images), 4), c.name, c.category) for v, c in enumerate(CONCEPTS))
    cut = images * 3 // 4
    accuracy = {
        name: round(float(linear_accuracy(x[:cut], labels[:cut], x[cut:], labels[cut:])), 3)
        for name, x in (("joint 4x4x4", joint), ("marginal 3x16", marginal), ("both", np.hstack([joint, marginal])))
    }
    return {
        "version": VERSION,
        "split": split,
        "images": images,
        "concepts": len(CONCEPTS),
        "classes": len(CLASSES),
        "crc32": f"{digest:08x}",
        "ms_per_image": round(1000 * seconds / images, 2),
        "images_per_minute": round(60 * images / seconds),
        "labels_in_their_category": sound,
        "max_class_given_concept": worst[0][0],
        "worst_concepts": worst[:8],
        "histogram_accuracy": max(accuracy.values()),
        "histogram_accuracies": accuracy,
        "min_frequency": frequency[0][0],
        "rarest_concepts": frequency[:8],
        "class_counts": np.bincount(labels, minlength=len(CLASSES)).tolist(),
    }


def failures(report: dict) -> list[str]:
    """Names of the bounds a report misses."""
    missed = [k for k in ("images_per_minute", "min_frequency") if report[k] < BOUNDS[k]]
    missed += [k for k in ("max_class_given_concept", "histogram_accuracy") if report[k] > BOUNDS[k]]
    if not report["labels_in_their_category"]:
        missed.append("labels_in_their_category")
    return missed


def main() -> int:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--split", default="val")
    args = parser.parse_args()
    report = measure(args.images, args.split)
    report["missed"] = failures(report)
    print(json.dumps(report, indent=1))
    return 1 if report["missed"] else 0


if __name__ == "__main__":
    sys.exit(main())
