'use strict';

// One database: PouchDB, and what a CouchDB database has beyond it: validation of every write, _security,
// _revs_limit, _local documents without conflicts, and the indexes of views.

const { Indexes } = require('./indexes');
const { Requests } = require('./requests');
const { Validation } = require('./validation');

const DEFAULT_SECURITY = { members: { roles: ['_admin'] }, admins: { roles: ['_admin'] } };
const DEFAULT_REVS_LIMIT = 1000;
const SETTINGS_ID = '_local/settings';
const LOCAL_PREFIX = '_local/client/'; // keeps a client's documents apart from PouchDB's own

async function orMissing(found, fallback) {
  try {
    return await found;
  } catch (error) {
    if (error.status !== 404) {
      throw error;
    }
    return fallback;
  }
}

class Database {
  static async open(PouchDB, name, folderName) {
    const pouch = new PouchDB(folderName);
    const settings = await orMissing(pouch.get(SETTINGS_ID), {});
    const database = new Database(PouchDB, name, pouch, settings);
    await database.limitRevisions(settings.revsLimit ?? DEFAULT_REVS_LIMIT);
    return database;
  }

  constructor(PouchDB, name, pouch, { security = DEFAULT_SECURITY }) {
    this.PouchDB = PouchDB;
    this.name = name;
    this.pouch = pouch;
    this.security = security;
    this.requests = new Requests();
    this.indexes = new Indexes(pouch);
    this.validation = new Validation(this);
  }

  // PouchDB takes the limit only when it opens a database. Both of these share one store.
  async limitRevisions(count) {
    this.revsLimit = count;
    this.writer = count === DEFAULT_REVS_LIMIT
      ? this.pouch
      : new this.PouchDB(this.pouch.name, { revs_limit: count });
    await this.writer.info(); // until it is open, the store must not be destroyed
  }

  async saveSettings() {
    const { security, revsLimit } = this;
    await this.putInternal(SETTINGS_ID, { security, revsLimit });
  }

  async setSecurity(security) {
    this.security = security;
    await this.saveSettings();
  }

  async setRevsLimit(count) {
    await this.limitRevisions(count);
    await this.saveSettings();
  }

  // Writes documents that `checkDocument` has accepted. Returns one result each, in order: {ok, id, rev}, or an error
  // with id, status, name and reason. With isReplication, documents keep their revisions and a success has no `ok`.
  async write(docs, { userCtx, isReplication = false }) {
    const isLocal = (doc) => doc._id.startsWith('_local/');
    const locals = new Map();
    for (const doc of docs.filter(isLocal)) {
      locals.set(doc, await this.putLocal(doc));
    }
    const ordinary = docs.filter((doc) => !isLocal(doc));
    const refusals = await this.validation.refusals(ordinary, { userCtx, isReplication });
    const accepted = ordinary.filter((doc) => !refusals.has(doc));
    const results = accepted.length === 0 ? [] : await this.writeAccepted(accepted, isReplication);
    return docs.map((doc) => locals.get(doc) ?? refusals.get(doc) ?? results.shift());
  }

  async writeAccepted(docs, isReplication) {
    try {
      if (!isReplication) {
        return await this.writer.bulkDocs(docs);
      }
      // PouchDB returns the errors alone: find the document of each by its id.
      const errors = await this.writer.bulkDocs(docs, { new_edits: false });
      return docs.map(({ _id, _rev }) => (
        errors.find((error) => error.id === _id) ?? { id: _id, rev: _rev }
      ));
    } finally {
      if (docs.some((doc) => doc._id.startsWith('_design/'))) {
        this.validation.forget();
      }
    }
  }

  async putInternal(id, members) {
    for (;;) {
      const stored = await orMissing(this.pouch.get(id));
      try {
        await this.pouch.put({ ...members, _id: id, ...(stored && { _rev: stored._rev }) });
        return;
      } catch (error) {
        if (error.status !== 409) { // another request has written it: read it again
          throw error;
        }
      }
    }
  }

  // CouchDB does not compare the revision of a _local document: it adds one to it. Such a document has no attachments.
  async putLocal({ _id, _rev = '0-0', _deleted = false, ...members }) {
    const id = LOCAL_PREFIX + _id.slice('_local/'.length);
    const rev = _deleted ? '0-0' : `0-${Number(_rev.slice(2)) + 1}`;
    const isKept = ([name]) => !name.startsWith('_') || name.startsWith('_replication');
    const body = Object.fromEntries(Object.entries(members).filter(isKept));
    await this.putInternal(id, { rev, body, isDeleted: _deleted });
    return { ok: true, id: _id, rev };
  }

  // Returns the _local document, or undefined.
  async getLocal(id) {
    const stored = await orMissing(this.pouch.get(LOCAL_PREFIX + id.slice('_local/'.length)));
    return stored === undefined || stored.isDeleted ? undefined : { _id: id, _rev: stored.rev, ...stored.body };
  }

  // Returns every leaf with its history, tombstones included; [] when there is no such document.
  async leaves(id) {
    const found = await orMissing(this.pouch.get(id, { open_revs: 'all', revs: true }), []);
    return found.filter((leaf) => leaf.ok).map((leaf) => leaf.ok);
  }

  designDocument(name) {
    return this.pouch.get(`_design/${name}`);
  }

  async destroy() {
    await this.requests.end();
    await this.indexes.idle();
    await this.pouch.destroy();
  }
}

module.exports = { Database, orMissing };
