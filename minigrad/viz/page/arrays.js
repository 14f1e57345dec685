// the ops of NumPy that the page computes itself; an array is {shape, data}, and booleans are 0 and 1

const sign = x => x < 0 || Object.is(x, -0);
const FUNCTIONS = {  // of each element
  add: (a, b) => a + b, subtract: (a, b) => a - b, multiply: (a, b) => a * b, divide: (a, b) => a / b,
  negative: a => -a, square: a => a * a, reciprocal: a => 1 / a, exp2: a => 2 ** a,
  power: (a, b) => a === 1 || b === 0 || a === -1 && Math.abs(b) === Infinity ? 1 : a ** b,
  maximum: Math.max, minimum: Math.min, fmax: (a, b) => a !== a ? b : b !== b ? a : Math.max(a, b), fmin: (a, b) => a !== a ? b : b !== b ? a : Math.min(a, b),
  floor_divide: (a, b) => divided(a, b)[0], remainder: (a, b) => divided(a, b)[1], fmod: (a, b) => a % b,
  logaddexp: (a, b) => a === b ? a + Math.LN2 : Math.max(a, b) + Math.log1p(Math.exp(-Math.abs(a - b))),
  copysign: (a, b) => sign(b) ? -Math.abs(a) : Math.abs(a), heaviside: (a, b) => a > 0 ? 1 : a < 0 ? 0 : a === 0 ? b : NaN,
  greater: (a, b) => a > b, greater_equal: (a, b) => a >= b, less: (a, b) => a < b, less_equal: (a, b) => a <= b, equal: (a, b) => a === b, not_equal: (a, b) => a !== b,
  logical_and: (a, b) => a !== 0 && b !== 0, logical_or: (a, b) => a !== 0 || b !== 0, logical_xor: (a, b) => a === 0 !== (b === 0), logical_not: a => a === 0,
  isnan: a => a !== a, isfinite: Number.isFinite, isinf: a => Math.abs(a) === Infinity, signbit: sign,
  erf: a => errors(a)[0], erfc: a => errors(a)[1],
  nan_to_num: a => a !== a ? 0 : Math.max(-Number.MAX_VALUE, Math.min(a, Number.MAX_VALUE)),
  rint: a => Math.abs(a % 1) === .5 ? 2 * Math.round(a / 2) : Math.round(a),
  where: (c, a, b) => c !== 0 ? a : b, clip: (a, low, high) => Math.min(Math.max(a, low), high),
};
for (const [name, theirs] of Object.entries({absolute: "abs", fabs: "abs", arcsin: "asin", arccos: "acos", arctan: "atan", arctan2: "atan2", arcsinh: "asinh", arccosh: "acosh", arctanh: "atanh"})) FUNCTIONS[name] = Math[theirs];
for (const name of "exp expm1 log log2 log10 log1p sqrt cbrt sin cos tan sinh cosh tanh sign floor ceil trunc hypot".split(" ")) FUNCTIONS[name] = Math[name];

/** The quotient, rounded down, and the remainder, which has the sign of b. */
function divided(a, b) {
  let rest = a % b, quotient = (a - rest) / b;
  if (b === 0) return [a / b, NaN];
  if (rest && rest < 0 !== b < 0) { rest += b; quotient -= 1 }
  return [Math.round(quotient), rest === 0 && sign(b) ? -0 : rest];
}

/** The error function and its complement: Abramowitz and Stegun 7.1.6, and far out the continued fraction 7.1.14. */
function errors(x) {
  const a = Math.abs(x), e = Math.exp(-a * a) / Math.sqrt(Math.PI);
  let inside = 0, f = 0;
  if (a < 2.5) for (let n = 1, term = 2 * a * e; term > inside * 1e-17; n++) { inside += term; term *= 2 * a * a / (2 * n + 1) }
  for (let k = 80; k > 0; k--) f = k / 2 / (a + f);
  const beyond = a < 2.5 ? 1 - inside : e / (a + f);
  return x < 0 ? [a < 2.5 ? -inside : beyond - 1, 2 - beyond] : [a < 2.5 ? inside : 1 - beyond, beyond];
}

const ALL = {  // of all elements of a list
  sum: x => x.reduce((a, v) => a + v, 0), prod: x => x.reduce((a, v) => a * v, 1), mean: x => ALL.sum(x) / x.length,
  max: x => x[ALL.argmax(x)], min: x => x[ALL.argmin(x)], any: x => x.some(v => v !== 0), all: x => x.every(v => v !== 0),
  argmax: x => x.reduce((m, v, i) => v > x[m] || v !== v && x[m] === x[m] ? i : m, 0),
  argmin: x => x.reduce((m, v, i) => v < x[m] || v !== v && x[m] === x[m] ? i : m, 0),
  var: (x, free) => { const mean = ALL.mean(x); return x.reduce((a, v) => a + (v - mean) ** 2, 0) / Math.max(0, x.length - free) },
  std: (x, free) => Math.sqrt(ALL.var(x, free)),
};
const RUNNING = {cumsum: (a, v) => a + v, cumprod: (a, v) => a * v};

const sizeOf = shape => shape.reduce((a, n) => a * n, 1);
const stepsOf = shape => shape.map((_, k) => sizeOf(shape.slice(k + 1)));

/** The places of elements, row by row, that lie so many steps apart along each axis. */
function walk(shape, by, from = 0) {
  const places = new Int32Array(sizeOf(shape));
  const at = shape.map(() => 0);
  for (let i = 0, place = from; i < places.length; i++) {
    places[i] = place;
    for (let k = shape.length - 1; k >= 0; k--) {
      place += by[k];
      if (++at[k] < shape[k]) break;
      place -= by[k] * shape[k];
      at[k] = 0;
    }
  }
  return places;
}
const placesOf = ({shape, from, by, at}) => at || walk(shape, by, from);

/** The places of an array's elements when it is broadcast to a shape. */
function broadcast(from, shape) {
  const own = stepsOf(from), extra = shape.length - from.length;
  return walk(shape, shape.map((_, k) => k < extra || from[k - extra] === 1 ? 0 : own[k - extra]));
}
function common(shapes) {
  const shape = [];
  for (const s of shapes) s.forEach((n, k) => { const at = k - s.length; if (shape.at(at) === undefined) shape.unshift(...Array(-at - shape.length).fill(1)); if (n !== 1) shape[shape.length + at] = n });
  return shape;
}

/** An op on arrays: the array of its results, and what computes it anew. */
function operation(name, args, more = {}) {
  const [x, y, z] = args;
  const made = (shape, run) => {
    const data = new (more.single ? Float32Array : Float64Array)(sizeOf(shape));
    return {shape, data, run: () => run(data)};
  };
  const split = axes => {  // the places of what is reduced, and of what is kept
    const by = stepsOf(x.shape), of = keep => [x.shape, by].map(list => list.filter((_, k) => axes.includes(k) !== keep));
    return [walk(...of(true)), walk(...of(false))];
  };
  if (name in FUNCTIONS) {
    const f = FUNCTIONS[name], shape = common(args.map(a => a.shape)), [p, q, r] = args.map(a => broadcast(a.shape, shape));
    if (!y) return made(shape, out => { for (let i = 0; i < out.length; i++) out[i] = f(x.data[i]) });
    if (!z) return made(shape, out => { for (let i = 0; i < out.length; i++) out[i] = f(x.data[p[i]], y.data[q[i]]) });
    return made(shape, out => { for (let i = 0; i < out.length; i++) out[i] = f(x.data[p[i]], y.data[q[i]], z.data[r[i]]) });
  }
  if (name in ALL) {
    const [kept, inside] = split(more.axes), list = new Float64Array(inside.length);
    return made(more.shape, out => kept.forEach((start, i) => {
      inside.forEach((place, k) => { list[k] = x.data[start + place] });
      out[i] = ALL[name](list, more.ddof || 0);
    }));
  }
  if (name in RUNNING) {
    const flat = more.axis === undefined, [kept, inside] = flat ? [[0], walk([x.data.length], [1])] : split([more.axis]);
    return made(flat ? [x.data.length] : x.shape, out => kept.forEach(start => {
      inside.forEach((place, k) => { out[start + place] = k ? RUNNING[name](out[start + inside[k - 1]], x.data[start + place]) : x.data[start + place] });
    }));
  }
  if (name === "einsum") {
    const size = {}, lengths = letters => letters.map(k => size[k]);
    more.of.forEach((letters, i) => letters.forEach((k, axis) => { size[k] = size[k] > 1 ? size[k] : args[i].shape[axis] }));
    const summed = Object.keys(size).map(Number).filter(k => !more.to.includes(k));
    const [outside, inside] = [more.to, summed].map(letters => args.map((a, i) => walk(lengths(letters), letters.map(k => more.of[i].reduce((by, l, axis) => l === k && a.shape[axis] > 1 ? by + stepsOf(a.shape)[axis] : by, 0)))));
    const count = sizeOf(lengths(summed));
    return made(lengths(more.to), out => {
      for (let i = 0; i < out.length; i++) {
        let sum = 0;
        for (let k = 0; k < count; k++) {
          let product = 1;
          for (let a = 0; a < args.length; a++) product *= args[a].data[outside[a][i] + inside[a][k]];
          sum += product;
        }
        out[i] = sum;
      }
    });
  }
  if (name === "gather") {
    const ends = [];
    args.reduce((n, a) => ends[ends.length] = n + a.data.length, 0);
    const at = placesOf(more.places), of = Int32Array.from(at, p => ends.findIndex(end => p < end)), starts = [0, ...ends];
    return made(more.places.shape, out => { for (let i = 0; i < out.length; i++) out[i] = at[i] < 0 ? 0 : args[of[i]].data[at[i] - starts[of[i]]] });
  }
  if (name === "set" || name === "add_at") {
    const at = placesOf(more.places), from = broadcast(y.shape, more.places.shape);
    return made(x.shape, out => {
      out.set(x.data);
      for (let i = 0; i < at.length; i++) out[at[i]] = y.data[from[i]] + (name === "set" ? 0 : out[at[i]]);
    });
  }
  if (name === "astype") {
    const f = {b: a => a !== 0, f: a => a}[more.to] || Math.trunc;
    return made(x.shape, out => x.data.forEach((a, i) => { out[i] = f(a) }));
  }
  return null;
}

const numberOf = v => typeof v === "string" ? {nan: NaN, inf: Infinity, "-inf": -Infinity}[v] : Number(v);
function given(shape, data, single) {
  const kind = single ? Float32Array : Float64Array;
  return {shape, data: Array.isArray(data) ? kind.from(data, numberOf) : new kind(sizeOf(shape)).fill(numberOf(data))};
}

/** The arrays of a program in the order in which they are computed, or the name of the op that is not known here. */
function compiled(ops) {
  const values = [];
  for (const [name, ...rest] of ops) {
    let value;
    if (name === "array") value = given(rest[0], typeof rest[1] === "number" ? arrays[rest[1]].data : rest[1], rest[2]);
    else if (name === "constant") value = given(...rest);
    else value = operation(name, rest[0].map(i => values[i]), rest[1]);
    if (!value) return {unknown: name};
    values.push(value);
    if (value.run) value.run();
  }
  return {values};
}
