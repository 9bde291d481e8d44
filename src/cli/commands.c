/* SPDX-License-Identifier: MIT */
#include "commands.h"

#include <string.h>

#include "cmd.h"

const struct subcommand subcommands[] = {
    {"run", cmd_run, "dispatch purges from Redis to Fastly", cmd_run_help, FIRST_ANYTHING, NULL},
    {"push", cmd_push, "put purges into the queue", cmd_push_help, FIRST_ANYTHING, NULL},
    {"consume", cmd_consume, "push purges for the messages of a queue", cmd_consume_help,
     FIRST_CONSUMER, NULL},
    {"status", cmd_status, "show backlog, budget, leader and problems", cmd_status_help,
     FIRST_ANYTHING, NULL},
    {"ready", cmd_ready, "ask the daemon whether it is ready: a health check", cmd_ready_help,
     FIRST_ANYTHING, NULL},
    {"top", cmd_top, "show the same live, and pause, resume and retry by key", cmd_top_help,
     FIRST_ANYTHING, NULL},
    {"plan", cmd_plan, "predict what purges will cost and when they will be done", cmd_plan_help,
     FIRST_ANYTHING, NULL},
    {"job", cmd_job, "show where a job is, and why", cmd_job_help, FIRST_ANYTHING, NULL},
    {"history", cmd_history, "show jobs that have ended: what, when and how", cmd_history_help,
     FIRST_ANYTHING, NULL},
    {"dead", cmd_dead, "list, retry or delete dead letters", cmd_dead_help, FIRST_WORD,
     "list retry drop"},
    {"pause", cmd_pause, "stop sending for an account, but keep accepting jobs", cmd_pause_help,
     FIRST_ANYTHING, NULL},
    {"resume", cmd_resume, "end a pause", cmd_resume_help, FIRST_ANYTHING, NULL},
    {"check", cmd_check, "test configuration, Redis, token and services", cmd_check_help,
     FIRST_ANYTHING, NULL},
    {"doctor", cmd_doctor, "explain how Fastly caches a page, and whether purging it works",
     cmd_doctor_help, FIRST_ANYTHING, NULL},
    {"completion", cmd_completion, "print completion for bash, zsh or fish", cmd_completion_help,
     FIRST_WORD, "bash zsh fish"},
    {"help", cmd_help, "show the help of a command, or its manual page", cmd_help_help,
     FIRST_COMMAND, NULL},
};
const size_t subcommands_count = array_len(subcommands);

const struct subcommand *subcommand_find(const char *name)
{
    for (size_t i = 0; i < subcommands_count; i++)
        if (strcmp(subcommands[i].name, name) == 0)
            return &subcommands[i];
    return NULL;
}
