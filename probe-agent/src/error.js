export class AgentError extends Error {
  name = 'AgentError';
  code;
  constructor(code, message, options) {
    super(message, options);
    this.code = code;
  }
}
//# sourceMappingURL=error.js.map
