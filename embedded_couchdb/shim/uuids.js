'use strict';

// Makes ids by CouchDB's "sequential" algorithm: 26 random hexadecimal digits, then 6 that increase.
// https://docs.couchdb.org/en/stable/config/misc.html#uuids

const { randomBytes, randomInt } = require('node:crypto');

const SUFFIX_LIMIT = 0xfff000;
let prefix;
let suffix = SUFFIX_LIMIT;

function uuid() {
  if (suffix >= SUFFIX_LIMIT) {
    prefix = randomBytes(13).toString('hex');
    suffix = 0;
  }
  suffix += randomInt(1, 0xffe);
  return prefix + suffix.toString(16).padStart(6, '0');
}

module.exports = { uuid };
