"""Queries of every kind, and what two encoders of them must agree on."""

import numpy as np

import tiny

EMPTYISH = ["", " ", "\n\t", "\x00", "\u200b", "."]
QUERIES = [*tiny.SENTENCES[:12], "a", *EMPTYISH, "very long " * 300, "x" * 500, "été 晚期交互 [MASK] 🙂"]


def assert_same_scores(model, light, queries=QUERIES, documents=tiny.SENTENCES, atol=1e-5):
    """The light encoder's queries score documents as the model's own do."""
    from tardif.encoder.token_vectors import encode_documents, encode_queries
    from tardif.scoring import maxsim_arrays

    ours, our_lengths = light.encode_queries(queries)
    theirs, their_lengths = encode_queries(model, queries)
    assert our_lengths == their_lengths
    assert ours.dtype == np.float32
    vectors, lengths = encode_documents(model, documents)
    np.testing.assert_allclose(
        maxsim_arrays(ours, our_lengths, vectors, lengths),
        maxsim_arrays(theirs, their_lengths, vectors, lengths),
        atol=atol,
        rtol=1e-6,  # a score of a long query is a sum of a hundred
    )
