// What can go wrong, by meaning. The numbers (JSON-RPC codes, HTTP statuses) live in the transports, each
// in a table the compiler completes over Reason.
//
// A Failure is plain data, so that it survives the way out of a Durable Object; an A2AError is the same
// thing thrown, and never crosses RPC.

/** A2A v1.0 §3.3.2 and JSON-RPC 2.0 §5.1, and from UNAUTHENTICATED on what only this server says. */
export type Reason =
  | "TASK_NOT_FOUND"
  | "TASK_NOT_CANCELABLE"
  | "PUSH_NOTIFICATION_NOT_SUPPORTED"
  | "UNSUPPORTED_OPERATION"
  | "CONTENT_TYPE_NOT_SUPPORTED"
  | "INVALID_AGENT_RESPONSE"
  | "EXTENDED_AGENT_CARD_NOT_CONFIGURED"
  | "EXTENSION_SUPPORT_REQUIRED"
  | "VERSION_NOT_SUPPORTED"
  | "PARSE_ERROR"
  | "INVALID_REQUEST"
  | "METHOD_NOT_FOUND"
  | "INVALID_PARAMS"
  | "INTERNAL"
  | "UNAUTHENTICATED"
  | "PERMISSION_DENIED"
  | "UNAVAILABLE"
  | "RATE_LIMIT_EXCEEDED"
  | "PAYLOAD_TOO_LARGE"
  | "REQUEST_TIMEOUT"
  | "NOT_FOUND"
  | "METHOD_NOT_ALLOWED";

/** One wrong field; `field` is a path of proto JSON names such as `message.parts[0].text`. */
export type FieldViolation = { field: string; description: string };

export type Failure = {
  reason: Reason;
  /** One sentence for the caller; never a stack, an upstream message or a URL with credentials. */
  message: string;
  /** Becomes `ErrorInfo.metadata`, whose values are strings. */
  metadata?: Record<string, string>;
  /** Becomes `BadRequest.fieldViolations`. */
  violations?: FieldViolation[];
  /** Of UNAUTHENTICATED: how to authenticate, as the value of WWW-Authenticate (RFC 9110 §11.6.1). */
  challenge?: string;
  /** Whole seconds after which the same call may succeed. */
  retryAfterSeconds?: number;
};

export type FailureDetail = Partial<Omit<Failure, "reason">>;

const messages = {
  TASK_NOT_FOUND: "Task not found",
  TASK_NOT_CANCELABLE: "Task cannot be canceled in its current state",
  PUSH_NOTIFICATION_NOT_SUPPORTED: "Push notifications are not supported",
  UNSUPPORTED_OPERATION: "This operation is not supported",
  CONTENT_TYPE_NOT_SUPPORTED: "Content type not supported",
  INVALID_AGENT_RESPONSE: "The agent answered with an invalid response",
  EXTENDED_AGENT_CARD_NOT_CONFIGURED: "No extended agent card is configured",
  EXTENSION_SUPPORT_REQUIRED: "A required extension is not declared by the client",
  VERSION_NOT_SUPPORTED: "Protocol version not supported",
  PARSE_ERROR: "Invalid JSON payload",
  INVALID_REQUEST: "Request payload validation error",
  METHOD_NOT_FOUND: "Method not found",
  INVALID_PARAMS: "Invalid parameters",
  INTERNAL: "Internal error",
  UNAUTHENTICATED: "Authentication required",
  PERMISSION_DENIED: "Permission denied",
  UNAVAILABLE: "The service is temporarily unavailable",
  RATE_LIMIT_EXCEEDED: "Rate limit exceeded",
  PAYLOAD_TOO_LARGE: "Request body too large",
  REQUEST_TIMEOUT: "Request body too slow",
  NOT_FOUND: "Not found",
  METHOD_NOT_ALLOWED: "This path does not have this method",
} satisfies Record<Reason, string>;

/** A Failure with the message of its reason and the first wrong field, unless `detail` brings a better one. */
export function failure(reason: Reason, detail: FailureDetail = {}): Failure {
  const [first] = detail.violations ?? [];
  // Many clients show their user the message and nothing else.
  const message = first ? `${messages[reason]}: ${first.field} ${first.description}` : messages[reason];
  return { reason, message, ...detail };
}

export class A2AError extends Error {
  readonly failure: Failure;

  constructor(reason: Reason, detail: FailureDetail = {}) {
    const complete = failure(reason, detail);
    super(complete.message);
    this.name = "A2AError";
    this.failure = complete;
  }

  static from(failure: Failure): A2AError {
    return new A2AError(failure.reason, failure);
  }
}
