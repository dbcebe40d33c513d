//! `forget` where there is nothing to forget, as a shell sees it.

use super::import::submitted;

#[test]
fn what_has_no_result_is_told_apart() {
    let site = submitted();
    let job = site
        .local("jobs small params.x=1 replicate=1 -o ids")
        .stdout;
    let job = job.trim();
    let refused = |line: &str| {
        let done = site.local(line);
        assert_eq!((done.code, &*done.stdout), (5, ""), "{}", done.stderr);
        let mut lines = done.stderr.lines();
        let error = lines.find_map(|line| line.strip_prefix("error: "));
        error.unwrap_or_default().to_owned()
    };
    assert_eq!(
        refused("forget small"),
        "`small` has no result to forget (6 not ended yet)"
    );
    assert_eq!(site.local(&format!("cancel {job}")).code, 0);
    // A question would ask for nothing, so `--yes` makes no difference.
    for yes in ["", " --yes"] {
        let short = &job[..12];
        let told = format!(
            "`{short}` has no result to forget (1 cancelled); `coordinator retry {short}` queues \
             what failed or was cancelled"
        );
        assert_eq!(refused(&format!("forget {short}{yes}")), told);
        assert_eq!(
            refused(&format!("forget small{yes}")),
            "`small` has no result to forget (1 cancelled, 5 not ended yet); `coordinator retry \
             small` queues what failed or was cancelled"
        );
    }
    let none = site.local("forget nobody");
    assert_eq!(none.code, 3, "{}", none.stderr);
    assert_eq!(site.local("forget").code, 2);
}
