/**
 * NATS subjects and JetStream streams. Names of agents and coordinators are single subject tokens.
 *
 *   mecai.task.<agent>                       coordinator → agent
 *   mecai.observation.<agent>.<coordinator>  agent → coordinator, and into the stream OBSERVATIONS
 *   mecai.campaign.<agent>                   campaigns → agent, served when there is nothing more urgent
 *   mecai.observation.<agent>.campaign.<campaigns>   agent's answer to that, into the stream OBSERVATIONS
 *   mecai.agent.<agent>                      agent's sign of life, every few seconds
 *   mecai.echo.<agent>                       agent → all agents: how far is it?
 *   mecai.echoed.<agent>.<other>             other agent → agent
 *   mecai.registry.<coordinator>             coordinator → analytics: the registry in force, with its operator's signature
 *   mecai.decision.<coordinator>             into the stream RECORDS
 *   mecai.mismatch.<coordinator>             into the stream RECORDS
 *   mecai.report.<coordinator>               into the stream RECORDS
 */
export const isName = (name: string): boolean => /^[a-z0-9][a-z0-9-]{0,62}$/.test(name);

export const subjects = {
  task: (agent: string) => `mecai.task.${agent}`,
  observation: (agent: string, coordinator: string) => `mecai.observation.${agent}.${coordinator}`,
  campaignTask: (agent: string) => `mecai.campaign.${agent}`,
  /** One token more than those of coordinators, who therefore never hear it. */
  campaignObservation: (agent: string, campaigns: string) =>
    `mecai.observation.${agent}.campaign.${campaigns}`,
  agentStatus: (agent: string) => `mecai.agent.${agent}`,
  echo: (asker: string) => `mecai.echo.${asker}`,
  echoed: (asker: string, agent: string) => `mecai.echoed.${asker}.${agent}`,
  registry: (coordinator: string) => `mecai.registry.${coordinator}`,
  decision: (coordinator: string) => `mecai.decision.${coordinator}`,
  mismatch: (coordinator: string) => `mecai.mismatch.${coordinator}`,
  report: (coordinator: string) => `mecai.report.${coordinator}`,
} as const;

export const streams = {
  observations: { name: 'OBSERVATIONS', subjects: ['mecai.observation.>'] },
  records: { name: 'RECORDS', subjects: ['mecai.decision.>', 'mecai.mismatch.>', 'mecai.report.>'] },
} as const;

/** JetStream says that one of the nodes leads this stream from now on. */
export const leaderElected = (stream: string): string => `$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED.${stream}`;
