'use strict';

// The settings of a database: _security and _revs_limit. Validation and filter functions see _security. It restricts
// nobody, because the only user of the stand-in is the administrator.
// https://docs.couchdb.org/en/stable/api/database/security.html

const { jsonBody, jsonObject } = require('./body');
const { CouchError, handle, sendJson } = require('./http');

const MOST_REVISIONS = 1_000_000_000;

function isListOfStrings(value) {
  return value === undefined || (Array.isArray(value) && value.every((each) => typeof each === 'string'));
}

function checkSecurity(security) {
  for (const role of ['admins', 'members']) {
    const { [role]: group = {} } = security;
    const isGroup = typeof group === 'object' && group !== null && !Array.isArray(group);
    if (!isGroup || !isListOfStrings(group.names) || !isListOfStrings(group.roles)) {
      throw new CouchError(400, 'bad_request', `\`${role}\` must have lists of strings as names and roles`);
    }
  }
}

function revisionCount(count) {
  if (!Number.isInteger(count) || count < 1) {
    throw new CouchError(400, 'bad_request', '`_revs_limit` must be an integer of 1 or more');
  }
  return Math.min(count, MOST_REVISIONS);
}

function mount(app) {
  app.get('/:db/_security', (req, res) => sendJson(res, 200, req.database.security));
  app.put('/:db/_security', jsonBody, handle(async (req, res) => {
    checkSecurity(jsonObject(req));
    await req.database.setSecurity(req.body);
    sendJson(res, 200, { ok: true });
  }));
  app.get('/:db/_revs_limit', (req, res) => sendJson(res, 200, req.database.revsLimit));
  app.put('/:db/_revs_limit', jsonBody, handle(async (req, res) => {
    if (req.body === undefined) {
      throw new CouchError(400, 'bad_request', 'invalid UTF-8 JSON');
    }
    await req.database.setRevsLimit(revisionCount(req.body));
    sendJson(res, 200, { ok: true });
  }));
}

module.exports = { mount };
