/*  tim3ctl_commands.c - THE table of commands: usage, help, completion and dispatch come from it.

    {name, arguments, least, most, options, handler, help, example}  */
#include "tim3ctl_commands.h"

#define B TIM3CTL_BIT
#define REQUEST B (REQUEST_ID)
#define COLLATERAL B (COLLATERAL)

const tim3ctl_command_t tim3ctl_commands[] = {
    {"usda mint", "ACCOUNT AMOUNT", 2, 2, REQUEST | COLLATERAL, tim3ctl_usda_mint,
     "make collateral for an account (development)", "tim3ctl usda mint alice 100"},
    {"usda balance", "[ACCOUNT]", 0, 1, B (LIMIT) | COLLATERAL, tim3ctl_usda_balance,
     "an account's collateral, or all", "tim3ctl usda balance alice"},
    {"usda transfer", "FROM TO AMOUNT", 3, 3, REQUEST | COLLATERAL, tim3ctl_usda_transfer,
     "move collateral between accounts", "tim3ctl usda transfer alice bob 5"},
    {"usda tx", "TXID | ACCOUNT REQUEST_ID", 1, 2, COLLATERAL, tim3ctl_usda_tx,
     "look a usda mint or transfer up", "tim3ctl usda tx alice salary-3"},
    {"mint", "ACCOUNT AMOUNT", 2, 2, REQUEST | B (WAIT), tim3ctl_mint, "lock collateral and mint tokens",
     "tim3ctl mint alice 12.50"},
    {"redeem", "ACCOUNT AMOUNT", 2, 2, REQUEST | B (WAIT), tim3ctl_redeem,
     "burn tokens and give the collateral back", "tim3ctl redeem alice 2"},
    {"transfer", "FROM TO AMOUNT", 3, 3, REQUEST | B (WAIT), tim3ctl_transfer, "move tokens",
     "tim3ctl transfer alice bob 1 --request-id order-17"},
    {"balance", "[ACCOUNT]", 0, 1, B (LIMIT), tim3ctl_balance, "an account's tokens, or all balances",
     "tim3ctl balance alice"},
    {"position", "ACCOUNT", 1, 1, 0, tim3ctl_position, "what an account has minted, moved and holds",
     "tim3ctl position alice"},
    {"positions", "", 0, 0, B (LIMIT), tim3ctl_positions, "all positions", "tim3ctl positions --limit 20"},
    {"locks", "", 0, 0, B (ACCOUNT) | B (STATE) | B (UNSETTLED) | B (LIMIT), tim3ctl_locks,
     "collateral locks and releases", "tim3ctl locks --account alice --state active"},
    {"tx", "TXID | ACCOUNT REQUEST_ID", 1, 2, B (WAIT), tim3ctl_tx, "look a transaction up",
     "tim3ctl tx alice order-17"},
    {"txs", "", 0, 0, B (ACCOUNT) | B (STATUS) | B (LIMIT), tim3ctl_txs, "list transactions",
     "tim3ctl txs --account alice --status failed"},
    {"history", "ACCOUNT", 1, 1, B (NEWEST) | B (LIMIT), tim3ctl_history,
     "an account's entries, with balances", "tim3ctl history alice --newest --limit 10"},
    {"supply", "", 0, 0, 0, tim3ctl_supply, "supply, cap and totals of the token ledger", "tim3ctl supply"},
    {"metrics", "", 0, 0, B (PROMETHEUS), tim3ctl_metrics,
     "what has been counted of all assets, or of those that --asset names: volumes, positions, backing",
     "tim3ctl metrics --asset TIM3"},
    {"health", "", 0, 0, 0, tim3ctl_health, "health of the system and of each agent", "tim3ctl health"},
    {"info", "[ADDRESS]", 0, 1, 0, tim3ctl_info, "who an agent is, or all of them",
     "tim3ctl info lock_manager.TIM3.0"},
    {"stats", "[ADDRESS]", 0, 1, B (PROMETHEUS), tim3ctl_stats, "counters of an agent, or of all",
     "tim3ctl stats router.-.0"},
    {"config", "[ADDRESS]", 0, 1, 0, tim3ctl_config, "settings in force in an agent, or in all",
     "tim3ctl config token_manager.TIM3.0"},
    {"agents", "", 0, 0, 0, tim3ctl_agents, "the registry: who is there", "tim3ctl agents"},
    {"pause", "", 0, 0, REQUEST, tim3ctl_control, "refuse mints, redemptions and transfers of the asset",
     "tim3ctl pause --asset TIM3"},
    {"unpause", "", 0, 0, REQUEST, tim3ctl_control, "take them again", "tim3ctl unpause --asset TIM3"},
    {"freeze", "ACCOUNT", 1, 1, REQUEST, tim3ctl_control, "let an account neither send nor receive",
     "tim3ctl freeze mallory"},
    {"unfreeze", "ACCOUNT", 1, 1, REQUEST, tim3ctl_control, "let it again", "tim3ctl unfreeze mallory"},
    {"cap", "AMOUNT|none", 1, 1, REQUEST, tim3ctl_control, "set the most tokens that may exist, not 0",
     "tim3ctl cap 1000000"},
    {"events", "", 0, 0, B (FOLLOW) | B (FROM) | B (TOPIC) | B (LIMIT), tim3ctl_events, "print the event log",
     "tim3ctl events --follow --topic token.minted"},
    {"audit", "", 0, 0, COLLATERAL, tim3ctl_audit,
     "check vaults, locks, supply, balances and positions against each other (--asset can be repeated)",
     "tim3ctl audit --timeout 60"},
    {"fsck", "DATA_DIR", 1, 1, 0, tim3ctl_fsck,
     "check the stores of stopped agents, a backup, or copies, against each other",
     "tim3ctl fsck ~/tim3-data"},
    {"replay", "DATA_DIR ADDRESS", 2, 2, B (CONFIG) | B (HOURS), tim3ctl_replay,
     "run what a stopped agent was handed through this build, and compare what it writes",
     "tim3ctl replay ~/tim3-data token_manager.TIM3.0 --config tim3.cfg --hours 24"},
    {"backup list", "", 0, 0, 0, tim3ctl_backup_list,
     "the backups in DATA/backup, and whether they are whole", "tim3ctl backup list --data ~/tim3-data"},
    {"backup", "[NAME]", 0, 1, B (WITH_KEYS), tim3ctl_backup,
     "copy the stores of all agents, as of one moment, while they run, to DATA/backup/NAME (default: the "
     "time)",
     "tim3ctl backup before-upgrade --data ~/tim3-data"},
    {"restore", "BACKUP_DIR", 1, 1, B (AGENT) | B (CONFIG), tim3ctl_restore,
     "put the stores of a backup into a data folder that has none",
     "tim3ctl restore ~/tim3-data/backup/before-upgrade --data ~/tim3-again"},
    {"import-transfers", "FILE", 1, 1, B (MAP) | B (OUTSTANDING) | B (OPENING) | COLLATERAL, tim3ctl_import,
     "replay a token's history from a CSV of transfers, and compare every balance",
     "tim3ctl import-transfers erc20.csv --map 0xdac17f958d2ee523a2206206994597c13d831ec7=TIM3\n\n"
     "the file:\n"
     "  CSV without quotes, as ethereum-etl writes it, in the order in which the transfers happened. The "
     "first line\n"
     "  names the columns, in any order; others than these are passed over:\n"
     "    token_address, from_address, to_address  0x and 40 hexadecimal digits; from or to all zeros: mint "
     "or redeem\n"
     "    value                                    whole number of minor units\n"
     "    transaction_hash, log_index              together the request id: 0x and 64 hexadecimal digits; a "
     "number"},
    {"bench", "", 0, 0,
     B (CLIENTS) | B (OUTSTANDING) | B (SECONDS) | B (COUNT) | B (ACCOUNTS) | B (WORKLOAD) | B (SEED) |
         B (WARM_UP) | B (RATE) | B (ZIPF) | B (FUND) | B (FUNDED) | COLLATERAL,
     tim3ctl_bench, "measure operations per second, latency and CPU time; what it mints stays in the ledgers",
     "tim3ctl bench --clients 4 --seconds 10"},
    {"workload", "", 0, 0, B (SEED) | B (OPERATIONS) | B (ACCOUNTS) | B (OUTSTANDING) | COLLATERAL,
     tim3ctl_workload,
     "a seeded mix of operations, which stay in the ledgers, then compare every balance with its own books",
     "tim3ctl workload --seed 1 --operations 2000 --accounts 50"},
    {0},
};
