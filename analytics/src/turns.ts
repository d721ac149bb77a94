/** One after the other, in the order they were asked for; one that fails holds up none behind it. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  take<T>(action: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(action);
    this.#last = mine.catch(() => {});
    return mine;
  }

  /** All that were asked for so far. */
  async over(): Promise<void> {
    await this.#last;
  }
}
