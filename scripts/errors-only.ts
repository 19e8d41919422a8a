// Of the development server only errors are printed: it would tell of every message in a queue.
//
// Imported for its effect and before anything of wrangler, which reads the environment when it is loaded.

process.env.WRANGLER_LOG ??= "error";
