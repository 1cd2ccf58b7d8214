'use strict';

// The indexes of a database's views. PouchDB stores them; functions.js runs the map functions, a batch of changes at
// a time. PouchDB updates an index for each query in turn. Here a query of an up-to-date index does not wait, and
// queries that wait for the same update share it.

const createAbstractMapReduce = require('pouchdb-abstract-mapreduce');
const { call, reportOnce } = require('./functions');
const { CouchError } = require('./http');

const VIEW = 'view';

const rowsOfDocument = new WeakMap();

function rowsOf({ rows, thrown }, source) {
  if (thrown === undefined) {
    return rows;
  }
  refuseFatal(thrown.value);
  reportOnce(thrown, source);
  return [];
}

// CouchDB lets a map function fail the whole query by what it throws.
function refuseFatal(thrown) {
  if (thrown === 'fatal_error') {
    throw new CouchError(500, 'map_runtime_error', 'function raised \'fatal_error\'');
  }
  if (Array.isArray(thrown) && thrown[0] === 'fatal') {
    throw new CouchError(500, String(thrown[1]), thrown[2]);
  }
}

function mapper(program, emit) {
  return (doc) => rowsOfDocument.get(doc)?.forEach(([key, value]) => emit(key, value));
}

function noReducer() {
  throw new Error('views are reduced in reduce.js');
}

const abstract = createAbstractMapReduce('mrviews', mapper, noReducer, () => {});

class Index {
  constructor(pouch, name, program) {
    this.program = program;
    this.signature = JSON.stringify(program); // PouchDB takes it for the map function
    this.running = Promise.resolve();
    this.waiting = undefined;
    this.name = `${encodeURIComponent(name)}/${VIEW}`;
    const ddoc = { views: { [VIEW]: { map: this.signature } } };
    // The database as PouchDB's indexer sees it: this view is its only one, and each batch of changes is mapped.
    this.source = Object.create(pouch, {
      get: { value: (id) => (id.startsWith('_design/') ? Promise.resolve(ddoc) : pouch.get(id)) },
      changes: { value: (options) => this.mappedChanges(pouch, options) },
    });
  }

  async mappedChanges(pouch, options) {
    try {
      const changes = await pouch.changes(options);
      const docs = changes.results.map(({ doc }) => doc).filter((doc) => !doc._deleted && doc._id[0] !== '_');
      const outcomes = docs.length === 0 ? [] : await call(this.program, docs.map((doc) => [doc]));
      outcomes.forEach((outcome, index) => {
        rowsOfDocument.set(docs[index], rowsOf(outcome, this.program.source));
      });
      return changes;
    } catch (error) {
      this.failure = error; // PouchDB swallows it
      throw error;
    }
  }

  // PouchDB's own object for the index, once a query has opened it.
  get opened() {
    return this.source._cachedViews?.[`${this.signature}undefinedundefined`];
  }

  async indexedUpTo() {
    return (await this.opened)?.seq ?? 0;
  }

  async isFresh() {
    return this.opened !== undefined && await this.indexedUpTo() === (await this.source.info()).update_seq;
  }

  // A query needs an update that begins after it, because only such an update sees every write before the query.
  refresh() {
    this.waiting ??= this.running.then(() => {
      this.waiting = undefined;
      const update = this.update();
      this.running = update.catch(() => {});
      return update;
    });
    return this.waiting;
  }

  async update() {
    this.failure = undefined;
    await abstract.query.call(this.source, this.name, { limit: 0 });
    if (this.failure !== undefined) {
      const { status, name, reason, message } = this.failure;
      throw new CouchError(status ?? 500, name, reason ?? message);
    }
  }

  // Resolves to {total_rows, rows}. The options are PouchDB's, but for CouchDB's `update`.
  async query({ update = 'true', ...options }) {
    if (update === 'true' && !await this.isFresh()) {
      await this.refresh();
    }
    const result = await abstract.query.call(this.source, this.name, { ...options, stale: 'ok' });
    if (update === 'lazy') {
      this.refresh().catch(() => {}); // the next query reports what is wrong
    }
    return result;
  }
}

function programOf(ddoc, view) {
  const { map } = ddoc.views[view];
  const { lib } = ddoc.views;
  return { kind: 'map', source: map, ...(lib !== undefined && { ddoc: { views: { lib } } }) };
}

class Indexes {
  constructor(pouch) {
    this.pouch = pouch;
    this.bySignature = new Map();
  }

  // Returns the index of a view. Views with equal map functions share it.
  of(ddoc, view) {
    const program = programOf(ddoc, view);
    const signature = JSON.stringify(program);
    if (!this.bySignature.has(signature)) {
      this.bySignature.set(signature, new Index(this.pouch, `${ddoc._id}/${view}`, program));
    }
    return this.bySignature.get(signature);
  }

  // Resolves when no index is being updated. Such an update may outlast the request that began it.
  async idle() {
    await Promise.allSettled([...this.bySignature.values()].map((index) => index.waiting ?? index.running));
  }

  // Deletes the indexes that none of the design documents uses.
  async cleanUp(ddocs) {
    const used = new Set(ddocs.flatMap((ddoc) => (
      namesOfViews(ddoc).map((view) => JSON.stringify(programOf(ddoc, view)))
    )));
    for (const [signature, index] of this.bySignature) {
      if (!used.has(signature)) {
        this.bySignature.delete(signature);
        await (await index.opened)?.db.destroy();
      }
    }
  }
}

function namesOfViews({ language = 'javascript', views = {} }) {
  return language === 'javascript' ? Object.keys(views).filter((name) => name !== 'lib') : [];
}

module.exports = { Indexes, namesOfViews };
