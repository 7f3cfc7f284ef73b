//! How much of a model llama.cpp copies into an order that the CPU computes faster with.
//!
//! Only ggml knows for which CPU it repacks what, so it is asked, as llama.cpp asks it when it
//! loads a model: may a multiplication by this matrix run on a buffer of this type?

use std::collections::HashMap;
use std::ffi::c_void;
use std::mem;
use std::ptr;

use super::bindings::{
    ggml_backend_buffer_type_t, ggml_backend_dev_t,
    ggml_backend_dev_type_GGML_BACKEND_DEVICE_TYPE_CPU, ggml_context, ggml_init_params,
    ggml_tensor, ggml_type, ggml_type_GGML_TYPE_F32, ggml_type_GGML_TYPE_I32,
};
use super::library::Library;
use crate::llm::gguf::Tensor;

/// Of the multiplication asked about, as many as llama.cpp asks about.
const TOKENS: i64 = 512;

type ExtraTypes = unsafe extern "C" fn(ggml_backend_dev_t) -> *mut ggml_backend_buffer_type_t;

/// The bytes that copies of `matrices` take, none for those that stay as they are. They must be
/// such as `memory::multiplied` gives.
#[must_use]
pub fn repacked<'a>(library: &Library, matrices: impl IntoIterator<Item = &'a Tensor>) -> u64 {
    let (device, types) = extra_types(library);
    let mut sizes = HashMap::new();
    matrices
        .into_iter()
        .map(|matrix| {
            let key = (matrix.kind, &matrix.shape);
            *sizes.entry(key).or_insert_with(|| repacked_size(library, device, &types, matrix))
        })
        .sum()
}

fn extra_types(library: &Library) -> (ggml_backend_dev_t, Vec<ggml_backend_buffer_type_t>) {
    let c = &library.c;
    // SAFETY: the backends are loaded, and a CPU is among them. The function, if there is one, has
    // that type, and gives a list that ends with null.
    unsafe {
        let device =
            (c.ggml_backend_dev_by_type)(ggml_backend_dev_type_GGML_BACKEND_DEVICE_TYPE_CPU);
        let registry = (c.ggml_backend_dev_backend_reg)(device);
        let name = c"ggml_backend_dev_get_extra_bufts";
        let address = (c.ggml_backend_reg_get_proc_address)(registry, name.as_ptr());
        let mut types = Vec::new();
        if !address.is_null() {
            let ask = mem::transmute::<*mut c_void, ExtraTypes>(address);
            let mut next = ask(device);
            while !next.is_null() && !(*next).is_null() {
                types.push(*next);
                next = next.add(1);
            }
        }
        (device, types)
    }
}

fn repacked_size(
    library: &Library,
    device: ggml_backend_dev_t,
    types: &[ggml_backend_buffer_type_t],
    matrix: &Tensor,
) -> u64 {
    let c = &library.c;
    let shape: Vec<i64> =
        matrix.shape.iter().map(|n| i64::try_from(*n).unwrap_or(i64::MAX)).collect();
    // SAFETY: the context has room for the tensors, which have no data; each is used within its
    // life. A buffer of no bytes only names its type.
    unsafe {
        let params = ggml_init_params {
            mem_size: 8 * (c.ggml_tensor_overhead)(),
            mem_buffer: ptr::null_mut(),
            no_alloc: true,
        };
        let context = (c.ggml_init)(params);
        let new = |kind, shape: &[i64]| new_tensor(library, context, kind, shape);
        let weight = new(matrix.kind, &shape);
        let product = if shape.len() == 2 {
            let other = new(ggml_type_GGML_TYPE_F32, &[shape[0], TOKENS]);
            (c.ggml_mul_mat)(context, weight, other)
        } else {
            // The experts of a mixture.
            let other = new(ggml_type_GGML_TYPE_F32, &[shape[0], 1, TOKENS]);
            let chosen = new(ggml_type_GGML_TYPE_I32, &[1, TOKENS]);
            (c.ggml_mul_mat_id)(context, weight, other, chosen)
        };
        let supports = |buffer_type: &&ggml_backend_buffer_type_t| {
            let buffer = (c.ggml_backend_buft_alloc_buffer)(**buffer_type, 0);
            (*weight).buffer = buffer;
            let supported = (c.ggml_backend_dev_supports_op)(device, product);
            (*weight).buffer = ptr::null_mut();
            (c.ggml_backend_buffer_free)(buffer);
            supported
        };
        let size = types
            .iter()
            .find(supports)
            .map_or(0, |buffer_type| (c.ggml_backend_buft_get_alloc_size)(*buffer_type, weight));
        (c.ggml_free)(context);
        size as u64
    }
}

unsafe fn new_tensor(
    library: &Library,
    context: *mut ggml_context,
    kind: ggml_type,
    shape: &[i64],
) -> *mut ggml_tensor {
    let dimensions = i32::try_from(shape.len()).unwrap_or(0);
    (library.c.ggml_new_tensor)(context, kind, dimensions, shape.as_ptr())
}
