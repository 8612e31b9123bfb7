// What a sync function can call, and how it is recorded (QuickJS code, see prelude.ts).
// Everything here runs after the hardening, so methods of built-ins are what they seem.

/** Defines the globals of the interface, `install` and `run`. Needs the names of the guards. */
export const API_SOURCE = String.raw`
const { parse, stringify } = JSON;
const isArray = Array.isArray;
const textOf = String;
const EngineError = InternalError;
const functionText = Function.prototype.toString;
const plainFunction = Object.getPrototypeOf(function () {});
const NativeSet = Set;
const LINEAR_LOOKUP = 16;

let sync, returned;
let channels, seen, access, roles, requires, logs, dropped, grants, broken, now, seedText, seed;

function fail(message) {
  if (broken === undefined) broken = message;
  throw new TypeError(message);
}

function checkName(name, call) {
  if (name.length > limits.nameUnits) {
    fail(call + ": the name " + stringify(name.slice(0, 40) + "…") + " is too long");
  }
}

function addChannel(name) {
  if (name === "") return;
  if (channels.length < LINEAR_LOOKUP) {
    for (let i = 0; i < channels.length; i++) if (channels[i] === name) return;
  } else {
    if (seen === undefined) seen = new NativeSet(channels);
    if (seen.has(name)) return;
    seen.add(name);
  }
  checkName(name, "channel()");
  if (channels.length >= limits.channels) {
    fail("channel(): a revision may be in at most " + limits.channels + " channels");
  }
  channels[channels.length] = name;
}

function channel() {
  for (let i = 0; i < arguments.length; i++) {
    const value = arguments[i];
    if (typeof value === "string") addChannel(value);
    else if (isArray(value)) {
      for (let k = 0; k < value.length; k++) {
        const name = value[k];
        if (typeof name === "string") addChannel(name);
      }
    }
  }
}

function addGrant(name, names, call) {
  if (typeof name !== "string" || name === "") return;
  checkName(name, call);
  if (++grants > limits.grants) {
    fail("access(), role() and require…() may name at most " + limits.grants + " names");
  }
  names[names.length] = name;
}

function namesOf(value, call) {
  const names = [];
  if (isArray(value)) {
    for (let k = 0; k < value.length; k++) addGrant(value[k], names, call);
  } else addGrant(value, names, call);
  return names;
}

const api = {
  channel,
  access(principals, channels) {
    const who = namesOf(principals, "access()");
    const what = namesOf(channels, "access()");
    if (who.length > 0 && what.length > 0) access[access.length] = [who, what];
  },
  role(users, names) {
    const who = namesOf(users, "role()");
    const what = namesOf(names, "role()");
    for (let k = 0; k < what.length; k++) {
      if (!what[k].startsWith("role:")) fail('role(): a role is given as "role:" and its name');
      what[k] = what[k].slice(5);
      if (what[k] === "") fail('role(): a role is given as "role:" and its name');
    }
    if (who.length > 0 && what.length > 0) roles[roles.length] = [who, what];
  },
  requireUser(names) {
    require("user", namesOf(names, "requireUser()"));
  },
  requireRole(names) {
    const asked = namesOf(names, "requireRole()");
    for (let k = 0; k < asked.length; k++) {
      if (asked[k].startsWith("role:")) asked[k] = asked[k].slice(5);
    }
    require("role", asked);
  },
  requireAccess(names) {
    require("access", namesOf(names, "requireAccess()"));
  },
  requireAdmin() {
    require("admin", undefined);
  },
};

function require(kind, names) {
  if (requires.length >= limits.grants) {
    fail("a sync function may call require…() at most " + limits.grants + " times");
  }
  requires[requires.length] = names === undefined ? { kind } : { kind, names };
}

function shown(value) {
  if (typeof value === "string") return value;
  if (typeof value !== "object" || value === null) return textOf(value);
  try {
    return textOf(stringify(value));
  } catch (error) {
    return "[not shown]";
  }
}

function print(level, values) {
  if (logs.length >= limits.logLines) {
    dropped++;
    return;
  }
  let line = "";
  for (let i = 0; i < values.length && line.length < limits.logUnits; i++) {
    line += (i > 0 ? " " : "") + shown(values[i]);
  }
  logs[logs.length] = [level, line.slice(0, limits.logUnits)];
}

api.console = {};
for (const [name, level] of [
  ["log", "info"], ["info", "info"], ["debug", "debug"],
  ["warn", "warn"], ["error", "warn"], ["trace", "debug"],
]) {
  api.console[name] = { [name](...values) { print(level, values); } }[name];
}

function install(value) {
  if (typeof value !== "function" || Object.getPrototypeOf(value) !== plainFunction) return "";
  sync = value;
  if (value.prototype !== undefined) freeze(value.prototype);
  freeze(value);
  return Reflect.apply(functionText, value, []);
}

function run(text) {
  channels = []; access = []; roles = []; requires = []; logs = [];
  dropped = 0; grants = 0; seen = undefined; broken = undefined;
  seedText = text; seed = undefined;
  const input = parse(text);
  now = input[3];
  const call = sync;
  try {
    const value = call(input[0], input[1], input[2]);
    returned = value ? 1 : 0;
    if (!intact()) return tampered();
    if (broken !== undefined) return failed("error", broken);
    if (typeof value === "object" && value !== null && typeof value.then === "function") {
      return failed("error", "it returned a promise, and nothing here can wait for it");
    }
  } catch (error) {
    return thrown(error);
  }
  return stringify([0, channels, access, roles, requires, logs, dropped, returned]);
}

function failed(kind, message) {
  return stringify([2, kind, message.slice(0, limits.reasonUnits), logs, dropped]);
}

// The three members of the global object that can't be made accessors.
function intact() {
  return undefined === void 0 && NaN !== NaN && Infinity === 1 / 0;
}

function tampered() {
  return '[2,"tampered","",[],0]';
}

function thrown(error) {
  if (!intact()) return tampered();
  if (broken !== undefined) return failed("error", broken);
  try {
    if (typeof error === "object" && error !== null) {
      for (const word of ["forbidden", "unauthorized"]) {
        const reason = error[word];
        if (reason !== undefined) {
          return stringify([1, word, shown(reason).slice(0, limits.reasonUnits), logs, dropped]);
        }
      }
      if (error instanceof EngineError && error.message === "out of memory") {
        return failed("memory", "");
      }
      // The engine throws it as an InternalError, or from its parsers as a SyntaxError.
      if (error instanceof Error && error.message === "stack overflow") return failed("stack", "");
      if (error instanceof Error) {
        return failed("error", "it threw " + textOf(error.name) + ": " + textOf(error.message) + place(error));
      }
    }
    return failed("error", "it threw " + shown(error));
  } catch (second) {
    return failed("error", "it threw something that can't be read");
  }
}

function place(error) {
  const found = /sync-function:(\d+):(\d+)/.exec(textOf(error.stack).slice(0, 4000));
  if (found === null) return "";
  const column = found[1] === "1" ? Math.max(1, found[2] - 2) : found[2];
  return " (line " + found[1] + ", column " + column + ")";
}
`;
