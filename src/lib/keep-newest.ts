// What is remembered in a Map of bounded size.

/** Sets a member of a Map that holds `max` members at most: if there are more, the one that was set first goes. */
export function keepNewest<Key, Value>(map: Map<Key, Value>, key: Key, value: Value, max: number): void {
  // A Map keeps the place of a key that is set again.
  map.delete(key);
  if (map.size >= max) {
    for (const oldest of map.keys()) {
      map.delete(oldest);
      break;
    }
  }
  map.set(key, value);
}
