// Built-ins replaced inside the sandbox (QuickJS code, see prelude.ts): what depends on the moment
// (`Date`, `Math.random`), what makes code from text, and native loops that can't be interrupted.

/** Defines `guard()`, run by the hardening before it freezes. */
export const GUARDS_SOURCE = `
const { freeze } = Object;
const { apply, construct, defineProperty, getOwnPropertyDescriptor } = Reflect;
const isView = ArrayBuffer.isView;

function replace(holder, key, make) {
  const old = getOwnPropertyDescriptor(holder, key);
  const value = make(old.value);
  defineProperty(value, "name", { value: old.value.name });
  defineProperty(value, "length", { value: old.value.length });
  defineProperty(holder, key, { ...old, value });
  return value;
}

// A native loop over an array-like object runs to its length without a look at the clock. An own,
// plain number is believed (nothing can change it in between: there is no Proxy here).
function checkElements(value) {
  if (typeof value !== "object" || value === null) return;
  const own = getOwnPropertyDescriptor(value, "length");
  if (own === undefined) {
    if (isView(value) || value.length === undefined) return;
    throw new TypeError("an array-like object must have a length of its own");
  }
  if (typeof own.value !== "number") {
    throw new TypeError("an array-like object's length must be a number");
  }
  if (own.value > limits.elements) {
    throw new RangeError("a built-in method may work on at most " + limits.elements + " elements");
  }
}

function guardArrays() {
  for (const key of [
    "concat", "copyWithin", "every", "fill", "filter", "find", "findIndex", "findLast",
    "findLastIndex", "flatMap", "forEach", "includes", "indexOf", "join", "lastIndexOf",
    "map", "pop", "push", "reduce", "reduceRight", "reverse", "shift", "slice", "some", "sort",
    "splice", "toLocaleString", "toReversed", "toSorted", "toSpliced", "unshift", "with",
  ]) {
    replace(Array.prototype, key, (original) => {
      const all = key === "concat";
      return { [key](...values) {
        checkElements(this);
        if (all) for (let i = 0; i < values.length; i++) checkElements(values[i]);
        return apply(original, this, values);
      } }[key];
    });
  }
  replace(Array, "from", (original) => ({ from(...values) {
    checkElements(values[0]);
    return apply(original, this, values);
  } }).from);
  replace(JSON, "stringify", (original) => ({ stringify(...values) {
    checkElements(values[1]);
    return apply(original, this, values);
  } }).stringify);
  replace(String, "raw", (original) => ({ raw(...values) {
    checkElements(values[0]?.raw);
    return apply(original, this, values);
  } }).raw);
  replace(Array.prototype, "flat", () => ({ flat(depth = 1) {
    checkElements(this);
    const out = [];
    flatten(out, this, Number(depth));
    return out;
  } }).flat);
}

function flatten(out, values, depth) {
  for (let i = 0; i < values.length; i++) {
    if (!(i in values)) continue;
    const value = values[i];
    if (depth >= 1 && Array.isArray(value)) flatten(out, value, depth - 1);
    else out[out.length] = value;
  }
}

// Native code that draws on an iterator goes on for as long as that gives values. These do it in
// code that can be interrupted; what is newer than ES2023 and draws on iterators is taken away.
function guardIterators() {
  for (const name of ["Set", "Map", "WeakSet", "WeakMap"]) {
    const Original = globalThis[name];
    const add = name.endsWith("Set")
      ? (made, value) => made.add(value)
      : (made, value) => made.set(value[0], value[1]);
    const Guarded = replace(globalThis, name, () => function (values) {
      if (new.target === undefined) throw new TypeError(name + " must be called with new");
      const made = construct(Original, [], new.target);
      if (values !== undefined && values !== null) for (const value of values) add(made, value);
      return made;
    });
    adopt(Guarded, Original);
  }
  replace(Object, "fromEntries", () => ({ fromEntries(values) {
    const made = {};
    for (const value of values) {
      defineProperty(made, value[0], {
        value: value[1], writable: true, enumerable: true, configurable: true,
      });
    }
    return made;
  } }).fromEntries);
  for (const key of [
    "union", "intersection", "difference", "symmetricDifference", "isSubsetOf", "isSupersetOf",
    "isDisjointFrom",
  ]) {
    delete Set.prototype[key];
  }
  delete Object.groupBy;
  delete Map.groupBy;
  delete globalThis.Iterator;
  for (const key of Reflect.ownKeys(iteratorPrototype)) {
    if (typeof key === "string") delete iteratorPrototype[key];
  }
}
const iteratorPrototype = Iterator.prototype;

// A string search compares haystack × needle characters at worst.
function guardStrings() {
  const dispatch = { split: Symbol.split, replace: Symbol.replace, replaceAll: Symbol.replace };
  for (const key of ["indexOf", "lastIndexOf", "includes", "split", "replace", "replaceAll"]) {
    const symbol = dispatch[key];
    replace(String.prototype, key, (original) => ({ [key](...values) {
      const needle = values[0];
      if (typeof this !== "string" || typeof needle !== "string") {
        if (this === undefined || this === null || needle === undefined || needle === null) {
          return apply(original, this, values);
        }
        const special = symbol === undefined ? needle instanceof RegExp : needle[symbol] != null;
        if (special) return apply(original, this, values);
        values[0] = textOf(needle);
        return apply(guarded, textOf(this), values);
      }
      if (this.length * needle.length > limits.searchSteps) {
        throw new RangeError("a text this long can't be searched for a text this long");
      }
      return apply(original, this, values);
    } })[key]);
    const guarded = String.prototype[key];
  }
}

function adopt(Guarded, Original) {
  for (const key of Reflect.ownKeys(Original)) {
    if (key === "name" || key === "length") continue;
    const own = getOwnPropertyDescriptor(Original, key);
    defineProperty(Guarded, key, own);
  }
  defineProperty(Original.prototype, "constructor", {
    value: Guarded, writable: true, enumerable: false, configurable: true,
  });
}

// The time of a call stands still, and random numbers follow from the document's text: a sync
// function gives the same for the same revision at the same moment.
function guardTime() {
  const Original = Date;
  const Guarded = replace(globalThis, "Date", () => function (...values) {
    if (new.target === undefined) return new Original(now).toString();
    return construct(Original, values.length === 0 ? [now] : values, new.target);
  });
  adopt(Guarded, Original);
  replace(Guarded, "now", () => ({ now() { return now; } }).now);
  replace(Math, "random", () => ({ random() {
    if (seed === undefined) {
      seed = 0x811c9dc5;
      for (let i = 0; i < seedText.length && i < 256; i++) {
        seed = Math.imul(seed ^ seedText.charCodeAt(i), 0x01000193);
      }
    }
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  } }).random);
}

// Reading a number of n digits takes n × n steps.
function guardNumbers() {
  const Original = BigInt;
  const Guarded = replace(globalThis, "BigInt", () => function (value) {
    if (new.target !== undefined) throw new TypeError("BigInt is not a constructor");
    if (typeof value === "object" && value !== null) value = textOf(value);
    if (typeof value === "string" && value.length > limits.digits) {
      throw new RangeError("a BigInt may be read from at most " + limits.digits + " digits");
    }
    return Original(value);
  });
  adopt(Guarded, Original);
}

function guardCode() {
  const refuse = function Function() {
    throw new TypeError("a sync function can't make code from text");
  };
  defineProperty(refuse, "prototype", { value: Function.prototype });
  for (const made of [function () {}, function* () {}, async function () {}, async function* () {}]) {
    defineProperty(Object.getPrototypeOf(made), "constructor", { value: refuse });
  }
  globalThis.Function = refuse;
  for (const key of [
    "eval", "Proxy", "Promise", "WeakRef", "FinalizationRegistry", "SharedArrayBuffer", "Atomics",
  ]) {
    delete globalThis[key];
  }
}

function guard() {
  guardArrays();
  guardIterators();
  guardStrings();
  guardTime();
  guardNumbers();
  guardCode();
}
`;
