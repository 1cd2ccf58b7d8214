'use strict';

// _security is kept and given back, and validation functions see it. It restricts nobody: the only user of
// the stand-in is the administrator.
// https://docs.couchdb.org/en/stable/api/database/security.html

const { jsonBody, jsonObject } = require('./body');
const { handle, sendJson } = require('./http');

const ID = '_local/_security';
const DEFAULT = { members: { roles: ['_admin'] }, admins: { roles: ['_admin'] } };

async function stored(db) {
  try {
    return await db.get(ID);
  } catch (error) {
    if (error.status !== 404) {
      throw error;
    }
    return { _id: ID, security: DEFAULT };
  }
}

function mount(app) {
  app.get('/:db/_security', handle(async (req, res) => {
    sendJson(res, 200, (await stored(req.db)).security);
  }));
  app.put('/:db/_security', jsonBody, handle(async (req, res) => {
    await req.db.put({ ...await stored(req.db), security: jsonObject(req) });
    sendJson(res, 200, { ok: true });
  }));
}

module.exports = { mount };
