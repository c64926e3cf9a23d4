//! Several hosts without SLURM: a plain mpirun, over TCP.

use std::process::Stdio;

use crate::dsl::*;
use crate::lab::*;

#[test]
fn same_bytes_as_serial() {
    let Some(cluster) = cluster() else { return };
    if !mpirun_is_open_mpi() {
        // Its mpirun and this one's parts differ in how they find each other's networks: MPICH 4.0 hangs at the end.
        return;
    }
    let dir = Dir::new();
    let text: String = (0..3000).map(|i| "word ".repeat(i % 17) + "\n").collect();
    let text = dir.write("text", text);
    let module = dir.write("model.py", "def half(x): return None if x % 3 == 0 else x / 2\n");
    let jobs = [
        parpy("map --range -70000..70000"),
        parpy("map --range -700..700 --python").arg(format!("{}:half", module.display())),
        parpy("read").arg(&text),
        parpy("read --do count").arg(&text),
    ];
    for job in jobs {
        let serial = job.clone().args("-p serial").stdout();
        for hosts in ["n1:1,n2:1", "n1:2,n2:2"] {
            let mut command = cluster.on("n1");
            command.args(["timeout", "-k", "5", "60", mpirun(), "--mca", "plm_rsh_agent"]);
            command.arg(cluster.launch_agent()).args(["--host", hosts, BINARY]).args(job.words());
            FOREIGN.iter().for_each(|name| _ = command.env_remove(name));
            allow_everything(&mut command);
            let output = command.arg("--report").stdin(Stdio::null()).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{:?} on {hosts}: {}\n{said}", job.words(), output.status);
            assert!(output.stdout == serial, "{:?} on {hosts}\n{said}", job.words());
            for node in NODES {
                assert!(said.contains(&format!("host {node}: ")), "{:?} on {hosts}\n{said}", job.words());
            }
        }
    }
}
