// What this tab remembers until it is closed, and what the browser keeps longer than that; nothing
// where a browser keeps storage switched off.

class Memory {
  #storage;

  /** @param {() => Storage} storage asking for it is what may be refused */
  constructor(storage) {
    this.#storage = storage;
  }

  recall(name) {
    try {
      return this.#storage().getItem(name);
    } catch {
      return null;
    }
  }

  /** Remember a text; an empty one is forgotten. */
  remember(name, value) {
    try {
      if (value) this.#storage().setItem(name, value);
      else this.#storage().removeItem(name);
    } catch {
      // It is forgotten at the next reload then.
    }
  }

  /** Forget everything whose name begins so. */
  forget(beginning) {
    try {
      const names = Object.keys(this.#storage());
      for (const name of names) if (name.startsWith(beginning)) this.#storage().removeItem(name);
    } catch {
      // There is nothing then.
    }
  }
}

export const tab = new Memory(() => sessionStorage);
export const browser = new Memory(() => localStorage);

export const recall = (name) => tab.recall(name);
export const remember = (name, value) => tab.remember(name, value);

// A browser may be used by several people, one after another: what is somebody's own goes by the
// number of their account, not by a name that others can have given as well.
const OWN = "xwe.of.";

/** The name under which the browser keeps something of this user's. */
export function ownName(userId, what) {
  return `${OWN}${userId}.${what}`;
}

/** Leave nothing behind of whoever has been signed in here. */
export function forgetOwn() {
  browser.forget(OWN);
}
