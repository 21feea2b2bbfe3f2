"""Number systems: arrays on which the library's own text runs unchanged.

    field.FieldArray     numbers modulo a prime, with a tangent     is the backward the derivative?
    balls.BallArray      many digits and a proven error             how far off are our floats?
    jets.JetArray        power series of balls                      is it the derivative, with a proof?
    noise.arithmetic     float64 that errs like a chosen dtype      how far off may an honest program be?
    foreign.adopt        arrays of PyTorch and JAX                  does their autodiff say the same?

A number system is a scalar: something with ``+ - * / <`` and ``exp log log1p sqrt tanh erf erfc``.
``array.NumberArray`` makes arrays of it, with every name of ``backend.ALPHABET``.
"""
