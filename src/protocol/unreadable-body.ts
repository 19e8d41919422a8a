// What a caller is told of a body that could not be read, whoever has read it.

import type { ReadProblem } from "../lib/read-limited.ts";
import { type Failure, failure } from "./errors.ts";

export function toBodyFailure(problem: ReadProblem): Failure {
  switch (problem.reason) {
    case "too_large":
      return failure("PAYLOAD_TOO_LARGE", {
        message: `The request body is larger than ${problem.maxBytes} bytes`,
      });
    case "too_slow":
      return failure("REQUEST_TIMEOUT", {
        message: `The request body was not there within ${problem.timeoutMs / 1_000} s`,
      });
    case "busy":
      return failure("UNAVAILABLE", { message: "Too many large requests are being read; try again" });
    case "not_utf8":
      return failure("PARSE_ERROR", { message: "Invalid JSON payload: the body is not UTF-8" });
    case "broken":
      return failure("PARSE_ERROR", { message: "Invalid JSON payload: the body ended early" });
  }
}
