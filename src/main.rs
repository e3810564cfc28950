//! The program: reads the command line, runs the command, turns results into exit statuses.

mod command;

use std::io;
use std::process::ExitCode;

use bordertap::cli::{BenchCommand, Cli, Command, LogFormat};
use clap::{CommandFactory, Parser};
use command::{Failure, Log, pages, status};

/// Flows come and go by the million, each with a few small pieces of memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    pages::small();
    let cli = Cli::parse();
    let mut log = Log { format: LogFormat::Text, quiet: false };
    let done = match &cli.command {
        Command::Scan(args) => {
            log = Log::new(&args.run.talk);
            command::scan::scan(args, &log)
        }
        Command::Live(args) => {
            log = Log::new(&args.run.talk);
            command::live::listen(args, &log)
        }
        Command::Verify(args) => {
            log.format = args.log_format;
            command::verify::verify(args, &log)
        }
        Command::Bench(args) => match &args.command {
            Some(BenchCommand::Live(args)) => command::bench::measure_live(args),
            Some(BenchCommand::OneRun(args)) => command::bench::one_run(args),
            None => command::bench::measure(args),
        },
        Command::Merge(args) => {
            log = Log::new(&args.ending.talk);
            command::merge::merge(args, &log)
        }
        Command::Recheck(args) => {
            log = Log::new(&args.ending.talk);
            command::recheck::recheck(args, &log)
        }
        Command::Signatures(command) => command::signatures::signatures(command),
        Command::Diff(args) => command::diff::diff(args),
        Command::Policy(command) => command::policy::policy(command),
        Command::Where(args) => command::signatures::places(args),
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "bordertap", &mut io::stdout());
            Ok(0)
        }
        Command::Man => command::man(),
    };
    match done {
        Ok(status) => ExitCode::from(status),
        Err(Failure::PipeClosed) => ExitCode::SUCCESS,
        Err(Failure::Usage(reason)) => {
            log.error(&reason);
            ExitCode::from(status::USAGE)
        }
        Err(Failure::Useless(reason)) => {
            log.error(&reason);
            ExitCode::from(status::USELESS)
        }
    }
}
