//! The oracle in short: daemon, broker and target are killed and disturbed during a stream of
//! events, and none is lost. The long form is `cargo xtask chaos`.

use std::time::Duration;

use osnl_testkit::oracle::{OraclePlan, OracleProgram};

#[test]
fn every_confirmed_event_has_its_effect_in_order_and_with_a_record() {
    let program = OracleProgram::Osnl(env!("CARGO_BIN_EXE_osnl").into());
    let plan = OraclePlan {
        time: Duration::from_secs(15),
        drain: Duration::from_secs(120),
        ..OraclePlan::new(program, 20_261_120)
    };
    let report = plan.run();
    assert!(report.holds(), "{report}\nthe program's last words:\n{}", report.log());
    assert!(report.confirmed > 200 && report.kills() > 3, "hardly anything happened: {report}");
}
