'use strict';

// The requests that a database is answering. Its deletion waits for them, because PouchDB never answers some of those
// that it works on while it destroys a database.

const { setTimeout: sleep } = require('node:timers/promises');
const { once } = require('node:events');
const { noDatabase, refuse } = require('./http');

const DATABASE_DELETED = 'database deleted'; // an event of the responses: those that stay open have to end
const PATIENCE_MS = 10_000; // longer than the time limit of a design document's functions

class Requests {
  constructor() {
    this.responses = new Set();
    this.isOver = false;
  }

  begin(res) {
    if (this.isOver) {
      throw noDatabase();
    }
    this.responses.add(res);
    res.on('close', () => this.responses.delete(res));
  }

  // Takes no more requests, and resolves when those that have begun are answered.
  async end() {
    this.isOver = true;
    for (const res of this.responses) {
      res.emit(DATABASE_DELETED);
    }
    const answered = Promise.all([...this.responses].map((res) => once(res, 'close')));
    await Promise.race([answered, sleep(PATIENCE_MS, undefined, { ref: false })]);
    for (const res of this.responses) {
      refuse(noDatabase(), res);
    }
  }
}

module.exports = { DATABASE_DELETED, Requests };
