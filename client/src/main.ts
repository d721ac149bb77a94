#!/usr/bin/env node
import { runCommand } from './cli/commands.ts';

process.exitCode = await runCommand(process.argv.slice(2), {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  now: () => new Date(),
  // Knows NO_COLOR and the like.
  colour: process.stdout.isTTY && process.stdout.hasColors(),
});
