"""derive and compile: trace a function, simplify the program, print it as NumPy source.

The modules follow the data: source, program (the intermediate representation), layout, views, tracer, names, stand_ins,
world, differentiable, record, rules, simplify, inplace, schedule, identifiers, printer, dialects, disk_cache, jit,
guards, audit, specialization, api.
"""
