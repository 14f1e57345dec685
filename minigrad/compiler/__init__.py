"""derive and compile: trace a function, simplify the program, print it as NumPy source.

The modules follow the data: program (the intermediate representation), tracer, names, stand_ins, world,
differentiable, record, rules, layout, simplify, source, schedule, identifiers, printer, dialects, jit, guards, audit,
specialization, api.
"""
