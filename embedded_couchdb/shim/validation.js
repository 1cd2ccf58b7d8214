'use strict';

// Decides whether a document may be written. A design document must be well-formed, the revision must be a current
// leaf, and then each validate_doc_update function must accept the document. The conflict check comes first, so a
// client with a stale revision gets 409. A function sees the document, the revision that it replaces, the user with
// the database's name, and _security.
// https://docs.couchdb.org/en/stable/ddocs/ddocs.html#validate-document-update-functions

const { createHash } = require('node:crypto');
const { checkDesignDocument } = require('./design_check');
const { call, thrownError } = require('./functions');
const { CouchError } = require('./http');

const DESIGN_DOCUMENTS = { startkey: '_design/', endkey: '_design0', inclusive_end: false, include_docs: true };

function isDesign(doc) {
  return doc._id.startsWith('_design/');
}

// Returns the error for what a function threw, or undefined when it accepted the document.
function refusalOf({ thrown }) {
  if (thrown === undefined || thrown.value === true || thrown.value === 1) {
    return undefined;
  }
  const { value } = thrown;
  const members = typeof value === 'object' && value !== null ? Object.entries(value) : [];
  if (members.length !== 1) {
    return thrownError(thrown);
  }
  const [[name, reason]] = members;
  const statuses = { forbidden: 403, unauthorized: 401 };
  return statuses[name] ? new CouchError(statuses[name], name, reason) : new CouchError(500, 'unknown_error', reason);
}

function asStub({ data, ...attachment }) {
  if (data === undefined) {
    return attachment;
  }
  const bytes = Buffer.from(data, 'base64');
  const digest = `md5-${createHash('md5').update(bytes).digest('base64')}`;
  return { ...attachment, digest, length: bytes.length, stub: true };
}

function withoutData({ _attachments, ...doc }) {
  if (_attachments === undefined) {
    return doc;
  }
  const stubs = Object.entries(_attachments).map(([name, attachment]) => [name, asStub(attachment)]);
  return { ...doc, _attachments: Object.fromEntries(stubs) };
}

class Validation {
  constructor(database) {
    this.database = database;
    this.forget();
  }

  // Reads the design documents anew at the next write: one of them has changed.
  forget() {
    this.validators = undefined;
  }

  loadedValidators() {
    this.validators ??= this.loadValidators().catch((error) => {
      this.forget();
      throw error;
    });
    return this.validators;
  }

  async loadValidators() {
    const { rows } = await this.database.pouch.allDocs(DESIGN_DOCUMENTS);
    return rows.map((row) => row.doc).filter((ddoc) => ddoc.validate_doc_update !== undefined);
  }

  // Resolves to a map from each refused document to its error.
  async refusals(docs, { userCtx, isReplication }) {
    const refused = new Map();
    const refuse = (doc, error) => refused.set(doc, Object.assign(error, {
      id: doc._id, error: true, ...(isReplication && { rev: doc._rev }),
    }));
    for (const doc of docs.filter((each) => isDesign(each) && !each._deleted)) {
      await checkDesignDocument(doc).catch((error) => refuse(doc, error));
    }
    const validators = await this.loadedValidators();
    if (validators.length === 0) {
      return refused;
    }
    const changes = await Promise.all(docs.filter((doc) => !isDesign(doc)).map(async (doc) => (
      { doc, change: await (isReplication ? this.replicatedChange(doc) : this.change(doc)) }
    )));
    changes.filter(({ change }) => change.isConflict).forEach(({ doc }) => (
      refuse(doc, new CouchError(409, 'conflict', 'Document update conflict.'))
    ));
    const validated = changes.filter(({ change }) => !change.isConflict && !change.isKnown);
    const user = { db: this.database.name, ...userCtx };
    for (const ddoc of validators) {
      const asked = validated.filter(({ doc }) => !refused.has(doc));
      const answers = await this.ask(ddoc, asked.map(({ change }) => (
        [change.doc, change.stored, user, this.database.security]
      )));
      answers.forEach((error, index) => error && refuse(asked[index].doc, error));
    }
    return refused;
  }

  async ask(ddoc, argumentLists) {
    const source = ddoc.validate_doc_update;
    if (argumentLists.length === 0) {
      return [];
    }
    try {
      return (await call({ kind: 'value', source, ddoc }, argumentLists)).map(refusalOf);
    } catch (error) { // the function does not compile, or never returns
      return argumentLists.map(() => new CouchError(error.status, error.name, error.reason));
    }
  }

  // Finds what a write replaces: the leaf that it names; without a revision, nothing or a deleted document.
  async change(doc) {
    const leaves = await this.database.leaves(doc._id);
    const stored = leaves.find((leaf) => leaf._rev === doc._rev);
    const isConflict = doc._rev === undefined ? leaves.some((leaf) => !leaf._deleted) : stored === undefined;
    const { _id, _rev, _deleted, ...body } = withoutData(doc);
    return {
      isConflict,
      stored: stored ?? null,
      doc: { _id, _rev, ...(_deleted && { _deleted }), ...body, _revisions: stored?._revisions },
    };
  }

  // Finds what a replicated revision replaces: its nearest ancestor whose body is stored.
  async replicatedChange(doc) {
    const { pouch } = this.database;
    const [generation, hash] = [Number.parseInt(doc._rev, 10), doc._rev.slice(doc._rev.indexOf('-') + 1)];
    const { start, ids } = doc._revisions ?? { start: generation, ids: [hash] };
    const missing = await pouch.revsDiff({ [doc._id]: [doc._rev] });
    let stored = null;
    for (let index = 1; index < ids.length && stored === null; index += 1) {
      stored = await pouch.get(doc._id, { rev: `${start - index}-${ids[index]}`, revs: true }).catch(() => null);
    }
    return {
      isKnown: missing[doc._id] === undefined,
      stored,
      doc: { ...withoutData(doc), _revisions: { start, ids } },
    };
  }
}

module.exports = { Validation };
