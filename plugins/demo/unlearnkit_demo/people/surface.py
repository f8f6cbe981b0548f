"""Fine surfaces from coarse ones by fixed sparse matrices (Loop subdivision), and their normals."""

from __future__ import annotations

from typing import Any

import numpy as np


def components(triangles: np.ndarray, vertices: int) -> np.ndarray:
    """Connected component label of each vertex, the largest component labelled 0."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    ends = np.roll(triangles, 1, axis=1)
    graph = coo_matrix(
        (np.ones(triangles.size), (triangles.ravel(), ends.ravel())), shape=(vertices, vertices)
    )
    _, label = connected_components(graph, directed=False)
    order = np.argsort(-np.bincount(label))
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return rank[label]


def _edges(triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unique edges, for every triangle its 3 edge numbers, and how many triangles share each edge."""
    all_edges = np.sort(
        np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1
    )
    edges, inverse, count = np.unique(all_edges, axis=0, return_inverse=True, return_counts=True)
    return edges, inverse.reshape(3, -1).T, count


def _split(triangles: np.ndarray, edge_of: np.ndarray, first_new: int) -> np.ndarray:
    a, b, c = triangles.T
    ab, bc, ca = (edge_of + first_new).T
    return np.concatenate([np.stack(t, 1) for t in ((a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca))])


def loop_subdivision(triangles: np.ndarray, vertices: int) -> tuple[Any, np.ndarray]:
    """Loop's scheme once: sparse matrix (new x old vertices) and the new triangles."""
    from scipy.sparse import coo_matrix, diags, vstack

    edges, edge_of, count = _edges(triangles)
    border = count == 1
    opposite = coo_matrix(
        (np.full(triangles.size, 0.125), (edge_of.ravel(), triangles[:, [2, 0, 1]].ravel())),
        shape=(len(edges), vertices),
    ).tocsr()
    ends_weight = np.where(border, 0.5, 0.375)
    rows = np.arange(len(edges))
    ends = coo_matrix(
        (np.tile(ends_weight, 2), (np.tile(rows, 2), edges.T.ravel())), shape=opposite.shape
    ).tocsr()
    odd = ends + diags((~border).astype(float)) @ opposite
    return vstack([_loop_even(edges, border, vertices), odd]).tocsr(), _split(triangles, edge_of, vertices)


def _loop_even(edges: np.ndarray, border: np.ndarray, vertices: int) -> Any:
    """Loop's rule for the old vertices; those on a border follow only the border."""
    from scipy.sparse import coo_matrix, diags

    def adjacency(e: np.ndarray) -> Any:
        both = np.concatenate([e, e[:, ::-1]])
        return coo_matrix((np.ones(len(both)), (both[:, 0], both[:, 1])), shape=(vertices, vertices)).tocsr()

    around, along = adjacency(edges), adjacency(edges[border])
    on_border = np.asarray(along.sum(1)).ravel() > 0
    valence = np.maximum(np.asarray(around.sum(1)).ravel(), 1)
    beta = np.where(valence == 3, 3 / 16, 3 / (8 * valence))
    inner = diags((~on_border) * beta) @ around + diags((~on_border) * (1 - valence * beta))
    rim = np.maximum(np.asarray(along.sum(1)).ravel(), 1)
    return inner + diags(on_border * 0.25 / rim) @ along + diags(on_border * 0.75)


def linear_subdivision(triangles: np.ndarray, vertices: int, where: np.ndarray) -> tuple[Any, np.ndarray]:
    """Split the triangles of mask ``where`` in four, in place (midpoints), others kept.

    The surface does not move, so no cracks open at the border between fine and coarse triangles.
    """
    from scipy.sparse import coo_matrix, identity, vstack

    edges, edge_of, _ = _edges(triangles[where])
    rows = np.arange(len(edges))
    middle = coo_matrix(
        (np.full(edges.size, 0.5), (np.tile(rows, 2), edges.T.ravel())), shape=(len(edges), vertices)
    )
    fine = _split(triangles[where], edge_of, vertices)
    return vstack([identity(vertices), middle]).tocsr(), np.concatenate([triangles[~where], fine])


class Normals:
    """Area-weighted vertex normals of many meshes that share their triangles."""

    def __init__(self, triangles: np.ndarray, vertices: int) -> None:
        from scipy.sparse import coo_matrix

        self.triangles = triangles
        rows, cols = triangles.ravel(), np.repeat(np.arange(len(triangles)), 3)
        self._gather = coo_matrix(
            (np.ones(len(rows), np.float32), (rows, cols)), shape=(vertices, len(triangles))
        ).tocsr()

    def __call__(self, vertices: np.ndarray) -> np.ndarray:
        """Unit normals (V, 3) of one mesh (V, 3)."""
        a, b, c = (vertices[self.triangles[:, i]] for i in range(3))
        u, v = b - a, c - a
        cross = np.stack(
            [
                u[:, 1] * v[:, 2] - u[:, 2] * v[:, 1],
                u[:, 2] * v[:, 0] - u[:, 0] * v[:, 2],
                u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0],
            ],
            axis=1,
        )
        return normalise(self._gather @ cross)


def normalise(x: np.ndarray) -> np.ndarray:
    """Unit vectors along the last axis."""
    return x / (np.linalg.norm(x, axis=-1, keepdims=True) + 1e-12)
