// The moments of the last minutes, and which one is shown: the newest, or one that the slider chose.

const MAX_MOMENTS = 480;

export class Moments {
  #moments = [];
  #index = null; // null: live
  #listeners = [];

  onShow(listener) {
    this.#listeners.push(listener);
  }

  get count() {
    return this.#moments.length;
  }

  get index() {
    return this.#index ?? this.#moments.length - 1;
  }

  get isLive() {
    return this.#index === null;
  }

  get shown() {
    return this.#moments[this.index];
  }

  get newest() {
    return this.#moments.at(-1);
  }

  restore(history) {
    // After a reconnection the page has seen most of it.
    const newest = this.newest?.at_s ?? 0;
    this.#moments.push(...history.filter((moment) => moment.at_s > newest));
    this.#forgetOld();
    if (this.#moments.length) this.#show();
  }

  add(moment) {
    this.#moments.push(moment);
    this.#forgetOld();
    if (this.isLive) this.#show();
    else this.#tell({ isSame: true });
  }

  stop() {
    this.#index ??= this.#moments.length - 1;
    this.#show();
  }

  goOn() {
    this.#index = null;
    if (this.#moments.length) this.#show();
  }

  goTo(index) {
    this.#index = Math.max(0, Math.min(index, this.#moments.length - 1));
    this.#show();
  }

  // The moments up to the one that is shown, the oldest first.
  until(count) {
    return this.#moments.slice(Math.max(0, this.index + 1 - count), this.index + 1);
  }

  goToLast(isWanted) {
    for (let i = this.isLive ? this.#moments.length - 1 : this.index - 1; i >= 0; i--) {
      if (isWanted(this.#moments[i])) {
        this.goTo(i);
        return true;
      }
    }
    return false;
  }

  #forgetOld() {
    const extra = this.#moments.length - MAX_MOMENTS;
    if (extra <= 0) return;
    this.#moments.splice(0, extra);
    if (this.#index !== null) this.#index = Math.max(0, this.#index - extra);
  }

  #show() {
    this.#tell({ isSame: false });
  }

  #tell(how) {
    if (!this.#moments.length) return;
    for (const listener of this.#listeners) listener(this.shown, how);
  }
}
