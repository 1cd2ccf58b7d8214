'use strict';

// What a database's design documents demand of its writes: view functions that compile, and the consent of each
// validate_doc_update. A refused document of a batch keeps its place among the results. Design documents are
// read and compiled once, not for every write and query, until one of them is written.
// https://docs.couchdb.org/en/stable/ddocs/ddocs.html#validate-document-update-functions

const { evaluate } = require('couchdb-eval');
const wrappers = require('pouchdb-wrappers');
const { checkDesignDocument } = require('./design_check');
const { CouchError } = require('./http');

const DESIGN = '_design/';
const ALL = { startkey: DESIGN, endkey: '_design0', inclusive_end: false, include_docs: true };

function isDesign(id) {
  return String(id).startsWith(DESIGN);
}

function compile(ddoc) {
  return ddoc.validate_doc_update && evaluate(ddoc, {}, ddoc.validate_doc_update).bind(ddoc);
}

function call(validate, doc, stored, userCtx) {
  try {
    validate(doc, stored, userCtx, {});
  } catch (error) {
    if (error.forbidden !== undefined) {
      throw new CouchError(403, 'forbidden', error.forbidden);
    }
    if (error.unauthorized !== undefined) {
      throw new CouchError(401, 'unauthorized', error.unauthorized);
    }
    throw new CouchError(500, error.name, error.message);
  }
}

class DesignCache {
  constructor(db) {
    this.db = db;
    this.forget();
  }

  forget() {
    this.docs = new Map();
    this.validators = undefined;
  }

  read(id, fetch) {
    const docs = this.docs;
    if (!docs.has(id)) {
      docs.set(id, fetch());
      docs.get(id).catch(() => docs.delete(id));
    }
    return docs.get(id);
  }

  async loadValidators() {
    const { rows } = await this.db.allDocs(ALL);
    return rows.map((row) => compile(row.doc)).filter((validate) => validate);
  }

  async check(doc, { userCtx }) {
    if (isDesign(doc._id) && !doc._deleted) {
      checkDesignDocument(doc);
    }
    if (/^_(design|local)\//.test(doc._id)) {
      return;
    }
    this.validators ??= this.loadValidators();
    const validators = await this.validators;
    if (validators.length > 0) {
      const stored = await this.db.get(doc._id, { revs: true }).catch(() => null);
      validators.forEach((validate) => call(validate, structuredClone(doc), stored, userCtx));
    }
  }

  async write(args, original) {
    const asError = (error, doc) => Object.assign(error, { id: doc._id, error: true });
    const errors = await Promise.all(args.docs.map((doc) => (
      this.check(doc, args.options).catch((error) => asError(error, doc))
    )));
    const hasDesign = args.docs.some((doc) => isDesign(doc._id));
    args.docs = args.docs.filter((doc, index) => errors[index] === undefined);
    const results = await original();
    if (hasDesign) {
      this.forget();
    }
    const places = errors.map((error) => error ?? results.shift());
    return places.filter((result) => result !== undefined);
  }
}

// For express-pouchdb, which wraps each database when it opens it. Every write of PouchDB's is a bulkDocs inside.
function wrapDatabase(name, db, next) {
  const cache = new DesignCache(db);
  wrappers.installWrapperMethods(db, {
    get: (original, { docId, options }) => (
      isDesign(docId) && Object.keys(options).length === 0 ? cache.read(docId, original) : original()
    ),
    bulkDocs: (original, args) => cache.write(args, original),
  });
  return next();
}

module.exports = { wrapDatabase };
