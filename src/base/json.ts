// The type of parsed JSON.

/** A parsed JSON value. */
export type Json = null | boolean | number | string | Json[] | JsonObject;

/** A parsed JSON object. Never trust its keys: `__proto__` is a legal one. */
export type JsonObject = { [key: string]: Json };
