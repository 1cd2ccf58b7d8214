'use strict';

// The databases of the server. Each is a folder, so an acknowledged creation survives a kill -9. CouchDB refuses
// illegal names (400), creates a database once (201, then 412) and only deletes one that exists (404).
// https://docs.couchdb.org/en/stable/api/database/common.html

const { existsSync, readdirSync } = require('node:fs');
const path = require('node:path');
const { Database } = require('./database');
const { CouchError, handle, noDatabase, sendJson } = require('./http');

const NAME = /^[a-z][a-z0-9_$()+/-]*$/;
const MAX_NAME_LENGTH = 200; // a folder's name has at most 255 bytes, and an index adds 40
const SYSTEM_NAMES = new Set(['_users', '_replicator', '_global_changes']);
const INDEX_FOLDER = /-mrview-[0-9a-f]{32}$/;

function folderName(name) {
  return name.replaceAll('/', '%2F');
}

class Databases {
  constructor(PouchDB, folder) {
    this.PouchDB = PouchDB;
    this.open = new Map();
    this.lastChange = Promise.resolve();
    const isDatabase = (entry) => !INDEX_FOLDER.test(entry) && existsSync(path.join(folder, entry, 'CURRENT'));
    this.names = new Set(readdirSync(folder)
      .map((entry) => [entry, entry.replaceAll('%2F', '/')])
      .filter(([entry, name]) => isLegal(name) && isDatabase(entry))
      .map(([, name]) => name));
  }

  get(name) {
    if (!this.names.has(name)) {
      throw noDatabase();
    }
    return this.open.get(name) ?? this.openOne(name);
  }

  openOne(name) {
    const opening = Database.open(this.PouchDB, name, folderName(name));
    this.open.set(name, opening);
    opening.catch(() => this.open.delete(name)); // the next request tries again
    return opening;
  }

  create(name) {
    return this.inTurn(async () => {
      if (this.names.has(name)) {
        throw new CouchError(412, 'file_exists', 'The database could not be created, the file already exists.');
      }
      await this.openOne(name);
      this.names.add(name);
    });
  }

  delete(name) {
    return this.inTurn(async () => {
      const database = await this.get(name);
      this.names.delete(name);
      this.open.delete(name);
      await database.destroy();
    });
  }

  inTurn(change) {
    const result = this.lastChange.then(change);
    this.lastChange = result.catch(() => {});
    return result;
  }
}

function isLegal(name) {
  return (NAME.test(name) || SYSTEM_NAMES.has(name)) && folderName(name).length <= MAX_NAME_LENGTH;
}

function checkName(req, res, next) {
  const name = req.params.db;
  if (!isLegal(name)) {
    throw new CouchError(400, 'illegal_database_name', `Name: '${name}'. Only lowercase characters (a-z), `
      + 'digits (0-9), and any of the characters _, $, (, ), +, -, and / are allowed. Must begin with a letter. '
      + `At most ${MAX_NAME_LENGTH} characters.`);
  }
  next();
}

function mount(app, databases) {
  app.get('/_all_dbs', (req, res) => sendJson(res, 200, [...databases.names].sort()));
  app.all(['/:db', '/:db/*'], checkName);
  app.put('/:db', handle(async (req, res) => {
    if (req.query.partitioned === 'true') {
      throw new CouchError(501, 'not_implemented', 'The stand-in has no partitioned databases.');
    }
    await databases.create(req.params.db);
    res.setHeader('Location', `http://${req.headers.host}/${encodeURIComponent(req.params.db)}`);
    sendJson(res, 201, { ok: true });
  }));
  app.delete('/:db', handle(async (req, res) => {
    if (req.query.rev !== undefined) {
      throw new CouchError(400, 'bad_request',
        'You tried to DELETE a database with a ?=rev parameter. Did you mean to DELETE a document instead?');
    }
    await databases.delete(req.params.db);
    sendJson(res, 200, { ok: true });
  }));
  app.all(['/:db', '/:db/*'], handle(async (req, res, next) => {
    req.database = await databases.get(req.params.db);
    req.database.requests.begin(res);
    req.db = req.database.pouch;
    next();
  }));
}

module.exports = { Databases, mount };
