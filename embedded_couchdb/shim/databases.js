'use strict';

// Which databases there are. CouchDB refuses illegal names (400), creates a database once (201, then 412)
// and can only delete one that exists (404). What was acknowledged here survives kill -9.
// https://docs.couchdb.org/en/stable/api/database/common.html

const { getOrCreateDB, deleteDB } = require('express-pouchdb/lib/create-or-delete-dbs');
const { CouchError, handle, sendJson } = require('./http');

// Unlike CouchDB's own rule, this one has no slash: a database is a folder here.
const NAME = /^[a-z][a-z0-9_$()+-]*$/;
const SYSTEM_NAMES = new Set(['_users', '_replicator', '_global_changes']);

class Databases {
  constructor(PouchDB, wrapper) {
    this.PouchDB = PouchDB;
    this.wrapper = wrapper;
    this.names = new Set();
    this.lastChange = Promise.resolve();
  }

  async load() {
    this.names = new Set(await this.PouchDB.allDbs());
  }

  async open(name) {
    if (!this.names.has(name)) {
      throw new CouchError(404, 'not_found', 'Database does not exist.');
    }
    return this.wrapper.wrap(name, await getOrCreateDB(this.PouchDB, name));
  }

  create(name) {
    return this.inTurn(async () => {
      if (this.names.has(name)) {
        throw new CouchError(412, 'file_exists', 'The database could not be created, the file already exists.');
      }
      const db = await getOrCreateDB(this.PouchDB, name);
      await db.info();
      await this.PouchDB.allDbs(); // queued behind the write that makes the name durable
      this.names.add(name);
    });
  }

  delete(name) {
    return this.inTurn(async () => {
      await this.open(name);
      this.names.delete(name);
      await deleteDB(this.PouchDB, name);
      await this.PouchDB.allDbs();
    });
  }

  inTurn(change) {
    const result = this.lastChange.then(change);
    this.lastChange = result.catch(() => {});
    return result;
  }
}

function checkName(req, res, next) {
  const name = req.params.db;
  if (!NAME.test(name) && !SYSTEM_NAMES.has(name)) {
    throw new CouchError(400, 'illegal_database_name', `Name: '${name}'. Only lowercase characters (a-z), `
      + 'digits (0-9), and any of the characters _, $, (, ), + and - are allowed. Must begin with a letter.');
  }
  next();
}

function mount(app, databases) {
  app.get('/_all_dbs', (req, res) => sendJson(res, 200, [...databases.names].sort()));
  app.all(['/:db', '/:db/*'], checkName);
  app.put('/:db', handle(async (req, res) => {
    await databases.create(req.params.db);
    res.setHeader('Location', `http://${req.headers.host}/${req.params.db}`);
    sendJson(res, 201, { ok: true });
  }));
  app.delete('/:db', handle(async (req, res) => {
    await databases.delete(req.params.db);
    sendJson(res, 200, { ok: true });
  }));
  app.all(['/:db', '/:db/*'], handle(async (req, res, next) => {
    req.db = await databases.open(req.params.db);
    next();
  }));
}

module.exports = { Databases, mount };
