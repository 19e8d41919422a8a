// What Vite adds to imports, as far as tests use it: files as text.

declare module "*?raw" {
  const text: string;
  export default text;
}

interface ImportMeta {
  /** The files that match, read when the test is built. */
  glob<T>(pattern: string, options: { query: "?raw"; import: "default"; eager: true }): Record<string, T>;
}
