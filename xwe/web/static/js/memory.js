// What this tab remembers until it is closed; nothing where a browser keeps storage switched off.

export function recall(name) {
  try {
    return sessionStorage.getItem(name);
  } catch {
    return null;
  }
}

export function remember(name, value) {
  try {
    sessionStorage.setItem(name, value);
  } catch {
    // It is forgotten at the next reload then.
  }
}
