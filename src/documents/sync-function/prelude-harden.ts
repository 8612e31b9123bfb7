// Freezing everything that user code can reach (QuickJS code, see prelude.ts), so that no call can
// leave anything behind for the next, or change what the recording functions stand on.

/** Defines `harden(harness)`: guards, publishes the interface, freezes, gives `harness` back. */
export const HARDEN_SOURCE = `
// Objects that only syntax leads to.
function hidden() {
  const found = [
    Promise,
    function () {}, function* () {}, async function () {}, async function* () {}, () => {},
    (function* () {})(), (async function* () {})(),
    [][Symbol.iterator](), ""[Symbol.iterator](), new Map()[Symbol.iterator](),
    new Set()[Symbol.iterator](), "".matchAll(/x/g), new Uint8Array(0), new Error("x"), /x/,
    (function () { return arguments; })(), (function () { "use strict"; return arguments; })(),
  ];
  const { prototype } = Iterator;
  for (const key of ["drop", "take", "filter", "map", "flatMap"]) {
    if (prototype[key] === undefined) continue;
    found.push(prototype[key].call([][Symbol.iterator](), key === "drop" || key === "take" ? 0 : () => []));
  }
  if (Iterator.from !== undefined) found.push(Iterator.from({ next() {} }));
  if (Iterator.concat !== undefined) found.push(Iterator.concat());
  return found;
}

// Once Object.prototype is frozen, "map[name] = 1" would not work for the names that it has
// ("constructor", "toString"): the assignment sees a read-only member. Accessors let it through.
function allowShadowing(holder) {
  for (const key of Reflect.ownKeys(holder)) {
    const own = getOwnPropertyDescriptor(holder, key);
    if (!("value" in own)) continue;
    const { value } = own;
    defineProperty(holder, key, {
      enumerable: own.enumerable,
      configurable: true,
      get() { return value; },
      set(next) {
        if (this === holder) throw new TypeError("built-ins can't be changed");
        const mine = getOwnPropertyDescriptor(this, key);
        defineProperty(this, key, mine === undefined
          ? { value: next, writable: true, enumerable: true, configurable: true }
          : { value: next });
      },
    });
  }
}

// The engine lets frozen data members of the global object be defined anew, accessors not. (What
// can't be made an accessor is looked at after each call: see intact().)
function hideGlobals() {
  const values = [];
  for (const key of Reflect.ownKeys(globalThis)) {
    const own = getOwnPropertyDescriptor(globalThis, key);
    if (!("value" in own) || !own.configurable) continue;
    const { value } = own;
    values[values.length] = value;
    defineProperty(globalThis, key, {
      get: () => value, set: undefined, enumerable: own.enumerable, configurable: false,
    });
  }
  return values;
}

function freezeAll(roots) {
  const done = new WeakSet();
  const queue = [];
  const visit = (value) => {
    if ((typeof value !== "object" && typeof value !== "function") || value === null) return;
    if (done.has(value)) return;
    done.add(value);
    queue.push(value);
  };
  for (const root of roots) visit(root);
  for (let i = 0; i < queue.length; i++) {
    const value = queue[i];
    visit(Object.getPrototypeOf(value));
    for (const key of Reflect.ownKeys(value)) {
      const own = getOwnPropertyDescriptor(value, key);
      visit(own.value);
      visit(own.get);
      visit(own.set);
    }
  }
  for (const value of queue) if (!isView(value)) freeze(value);
}

function harden(harness) {
  const more = hidden();
  guard();
  for (const key of Reflect.ownKeys(api)) {
    defineProperty(globalThis, key, { value: api[key], enumerable: false, configurable: true });
  }
  allowShadowing(Object.prototype);
  for (const kind of [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError,
    InternalError, AggregateError]) {
    allowShadowing(kind.prototype);
  }
  const values = hideGlobals();
  freezeAll([globalThis, ...more, ...values]);
  return harness;
}
`;
