"""Content addressing by cosine similarity.

Each of ``h`` heads emits a key and a strength, and attends to the ``n`` rows of a memory in
proportion to how well their direction matches the key's.

Forward
-------
    c_i = (k . M_i) / D(k, M_i)                      similarity
    a_i = exp(b c_i) / sum_j exp(b c_j)              weights, on the simplex

D is the product of the lengths, kept away from zero in one of the ways named below.

Backward
--------
Write g(x) for dL/dx and z_i = b c_i.  Through the softmax,

    g(z_i)  = a_i (g(a_i) - sum_j a_j g(a_j))
    g(b)    = sum_i g(z_i) c_i
    g(c_i)  = b g(z_i)

Similarity is a dot product over a denominator, so with q_i = g(c_i) / D_i,

    g(k)   = sum_i q_i M_i - sum_i q_i c_i dD_i/dk
    g(M_i) = q_i k         - q_i c_i dD_i/dM_i

and each form of D needs its slopes alone.  All are products s(k) s(M_i) of one length each, or of
both with a constant added, and ds/dx = x / s(x) or x / |x|.

Accuracy
--------
The softmax takes its logits and its cotangent relative to the winner's: see ``calculus``.

Conventions
-----------
``eps_form`` says where ``eps`` enters.  |x| is sqrt(x . x).

    smoothed        sqrt(k . k + eps) sqrt(M . M + eps)        ours: smooth, and |c| <= 1 always
    none            |k| |M|                                    the papers; undefined for a zero key or row
    added           |k| |M| + eps                              1e-6 ixaxaar/pytorch-dnc
    smoothed_added  sqrt(k . k + eps) sqrt(M . M + eps) + eps  1e-6 google-deepmind/dnc
    ...

Source: Graves, Wayne, Danihelka, "Neural Turing Machines", arXiv:1410.5401, eqs. 5-6.
"""
