//! Finds fields of the request context that no service of the catalogue sends.

use osnl_config::nearest;

/// The fields of oslo.context, those that services were recorded to add or had in older releases, and `traceparent`, which
/// deliveries pass on.
const FIELDS: &str = "abandon all_tenants auth_token auth_token_info auth_url aws_creds can_set_project_id client_addr \
    delete_shares domain domain_id domain_name edit_managed_records global_request_id hard_delete has_global_access \
    hide_counts instance_lock_checked is_admin is_admin_project is_public_api message_action message_resource_id \
    message_resource_type original_project_id password project project_domain project_domain_id project_domain_name \
    project_id project_name quota_class read_deleted read_only region_name remote_address request_id resource_uuid roles \
    service_catalog show_deleted system_scope tenant tenant_id tenant_name timestamp traceparent trust_id trustor_user_id \
    tsigkey_id user user_domain user_domain_id user_domain_name user_id user_identity user_name username";
pub(super) const USUAL: &str =
    "each has context.project_id, context.user, context.roles, and context.request_id";

/// Returns the problem of a path in the context that begins with no known field, and the nearest one.
pub(super) fn unknown_field(path: &str) -> Option<(String, Option<String>)> {
    let field = path.strip_prefix("context.")?.split(['.', '[']).next()?;
    let mut known = FIELDS.split(' ');
    if known.any(|known| known == field) {
        return None;
    }
    let near = nearest(field, FIELDS.split(' ')).map(|near| format!("context.{near}"));
    Some((format!("no known service sends context.{field}"), near))
}
