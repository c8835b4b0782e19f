// Assigns the policy to staff on managed devices, and to staff in the office on any device.
//
// Needs criteria scripts: staff_by_email, managed_device, in_office

return staff_by_email(claims) && (managed_device(claims) || in_office(claims));
